/*
 * Where another thread of this process is just now: a signal has it note its own frames. Only what
 * asks for it installs anything (hl_backtrace_enable), and only threads that say so can be asked.
 *
 *   FRAMES  the answer: the asking thread stores the request's number (release), the asked one
 * loads it in its handler (acquire), fills the frames, and stores the number as answered (release);
 * the asking thread loads that (acquire) before it reads them.
 */
#ifndef HL_BASE_BACKTRACE_H
#define HL_BASE_BACKTRACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Installs the handler of the signal (SIGRTMAX - 3), once a process. False: it is in use. */
bool hl_backtrace_enable(void);

/* The calling thread can be asked: it no longer blocks that signal. */
void hl_backtrace_allow_here(void);

/* The frames of a thread that has allowed it, innermost first; how many, 0: it did not answer in
 * time. It is interrupted for some microseconds. One caller at a time, others get 0. */
uint32_t hl_backtrace_of_thread(pthread_t thread, void **ret_frames, uint32_t room,
                                uint64_t timeout_ns);

/* The frames as text, "a < b < c", cut at `room` bytes. Allocates. */
void hl_backtrace_print(void *const *frames, uint32_t count, char *text, size_t room);

#endif
