#include "journal/progress.h"

uint64_t hl_journal_written(const hl_journal_progress *progress)
{
    return hl_progress_read(&progress->written_sequence);
}

uint64_t hl_journal_durable(const hl_journal_progress *progress)
{
    return hl_progress_read(&progress->durable_sequence);
}

uint64_t hl_journal_reserved(const hl_journal_progress *progress)
{
    return hl_progress_read(&progress->reserved_through);
}

hl_journal_state hl_journal_state_of(const hl_journal_progress *progress)
{
    return (hl_journal_state)hl_progress_read(&progress->state);
}
