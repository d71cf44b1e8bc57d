/*
 * hotlane: a lock-free, core-pinned event bus. Includes the whole public API; bus.h tells the life
 * cycle, publisher.h the way in, subscription.h the way out.
 */
#ifndef HOTLANE_H
#define HOTLANE_H

#include <hotlane/adapter.h>
#include <hotlane/aggregate.h>
#include <hotlane/bus.h>
#include <hotlane/component.h>
#include <hotlane/config.h>
#include <hotlane/crash.h>
#include <hotlane/dlq.h>
#include <hotlane/duration.h>
#include <hotlane/event.h>
#include <hotlane/fault.h>
#include <hotlane/flow.h>
#include <hotlane/health.h>
#include <hotlane/journal.h>
#include <hotlane/journal_reader.h>
#include <hotlane/log.h>
#include <hotlane/publisher.h>
#include <hotlane/replay.h>
#include <hotlane/stats.h>
#include <hotlane/status.h>
#include <hotlane/subscription.h>
#include <hotlane/system.h>
#include <hotlane/topic.h>
#include <hotlane/version.h>

#endif
