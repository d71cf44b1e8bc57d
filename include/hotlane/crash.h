/*
 * A last report when the process crashes: which handler, which event, the counters. Only where it
 * is asked for; the library installs no signal handler otherwise.
 *
 *     hl_crash_report_enable(bus, STDERR_FILENO, &error);
 */
#ifndef HOTLANE_CRASH_H
#define HOTLANE_CRASH_H

#include <hotlane/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * On SIGSEGV, SIGBUS and SIGABRT, in any thread of the process, writes what is known of this bus to
 * `fd`, async-signal-safely, and then has the process go on as it would have: the handler that was
 * there before is called, or the signal's own action is taken. On the alternate stack where the
 * thread has one. One report a process: another thread that crashes meanwhile waits, for a second
 * at most, until it is whole. `fd` stays the caller's. Until hl_crash_report_disable, or the bus is
 * destroyed. Any thread.
 * - HL_OK: also when it was enabled before; `fd` is then the new one.
 * - HL_LIMIT: 8 buses are reported already; or 8 handlers of others lie one above the other, each
 *   installed while it was enabled. HL_INVALID: no bus, or a negative fd.
 * - HL_SYSTEM: the handlers could not be installed, and none is.
 */
HL_API hl_status hl_crash_report_enable(hl_bus *bus, int fd, hl_error *error);

/* No report of this bus any more; after the last one the handlers that were there before are put
 * back, unless others were installed since: those may pass on to this one, which says nothing then
 * and passes on to the ones before. */
HL_API void hl_crash_report_disable(hl_bus *bus);

#ifdef __cplusplus
}
#endif
#endif
