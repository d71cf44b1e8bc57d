/*
 * What `hotlane journal replay` and `snapshot` have the reference pipeline do: hotlane run, with
 * the journal instead of the inputs.
 */
#ifndef HL_TOOLS_JOURNAL_PIPELINE_H
#define HL_TOOLS_JOURNAL_PIPELINE_H

#include "journal_options.h"

/* Replays into it, or rebuilds it (options->rebuild, options->make), and reports it. */
hl_exit journal_into_pipeline(const journal_options *options);

#endif
