#include "journal/examine.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

typedef struct examination {
    hl_segment_walk *walk;
    const hl_examine_options *options;
    hl_segment_findings findings;
    bool durable_is_known; /* all groups' marks have been looked at */
    bool after_damage;     /* the next sequence may be any that is not below the expected one */
    uint64_t durable_end;  /* nothing below it can be torn */
    uint64_t seal_offset;  /* of the footer, by a good trailer; UINT64_MAX: none */
    uint64_t sealed_last;  /* the footer's last sequence */
} examination;

/* What a footer of a segment without damage says that is not so; NULL: nothing. */
static const char *find_lie(const hl_footer *footer, const hl_segment_findings *findings)
{
    if (footer->events != findings->events || footer->gaps != findings->gaps ||
        footer->payload_bytes != findings->payload_bytes)
        return "its footer counts other records than it holds";
    if (footer->first_sequence != findings->first_sequence ||
        footer->last_sequence != findings->next_sequence - 1)
        return "its footer names other sequences than it holds";
    if (footer->first_ns != findings->first_ns || footer->last_ns != findings->last_ns)
        return "its footer names other times than its events have";
    return NULL;
}

static hl_status read_failed(const hl_segment_walk *walk, hl_error *error)
{
    return hl_io_error(error, walk->read_error, walk->path, "read");
}

/* Is there a good record of this kind at `offset`? It is then in walk->record. */
static bool is_good(hl_segment_walk *walk, uint64_t offset, hl_record_kind kind)
{
    hl_segment_walk_seek(walk, offset);
    if (hl_segment_walk_next(walk) != HL_RECORD_GOOD)
        return false;
    hl_record_word word;
    memcpy(&word, walk->record, sizeof word);
    return hl_record_kind_of(word) == kind;
}

/* A good trailer at the file's end and a good footer where it points: they were written when all
 * before the seal was durable. Of the last segment's seal itself parts may be torn off all the
 * same. */
static void look_for_seal(examination *this)
{
    hl_segment_walk *const walk = this->walk;
    const uint64_t size = walk->file_size;
    if (size < HL_JOURNAL_HEADER_SIZE + sizeof(hl_trailer) || size % 8 != 0 ||
        !is_good(walk, size - sizeof(hl_trailer), HL_RECORD_TRAILER))
        return;
    const uint64_t footer_offset = ((const hl_trailer *)walk->record)->footer_offset;
    if (footer_offset % 8 != 0 || footer_offset < HL_JOURNAL_HEADER_SIZE || footer_offset >= size ||
        !is_good(walk, footer_offset, HL_RECORD_FOOTER))
        return;
    const hl_footer *const footer = walk->record;
    this->seal_offset = footer_offset;
    this->sealed_last = footer->last_sequence;
    if (this->options->is_last && footer->records_end <= footer_offset &&
        footer->records_end >= HL_JOURNAL_HEADER_SIZE + sizeof(hl_group))
        this->durable_end = footer->records_end - sizeof(hl_group);
    this->durable_is_known = true;
}

/* What the groups behind `offset` know to be durable. */
static void learn_durable(examination *this, uint64_t offset)
{
    hl_segment_walk *const walk = this->walk;
    for (uint64_t at = hl_segment_walk_resync(walk, offset); at != UINT64_MAX;
         at = hl_segment_walk_resync(walk, at + 8)) {
        hl_group group;
        if (!is_good(walk, at, HL_RECORD_GROUP))
            break;
        memcpy(&group, walk->record, sizeof group);
        /* A mark beyond its own group would be a defect: nothing above it was written then. */
        if (group.durable_offset <= at && group.durable_offset > this->durable_end)
            this->durable_end = group.durable_offset;
    }
    this->durable_is_known = true;
}

static void add_damage(examination *this, uint64_t offset, uint64_t end, hl_record_verdict verdict)
{
    hl_segment_findings *const findings = &this->findings;
    if (findings->damages < HL_DAMAGED_RANGES)
        findings->damaged[findings->damages] =
            (hl_damaged_range){.offset = offset, .size = end - offset, .verdict = verdict};
    findings->damages++;
    findings->damaged_bytes += end - offset;
    this->after_damage = true;
}

/* The events between what was expected and `sequence` went with the last damage. */
static void settle_damage(examination *this, uint64_t sequence)
{
    hl_segment_findings *const findings = &this->findings;
    if (sequence > findings->next_sequence) {
        if (findings->damages <= HL_DAMAGED_RANGES) {
            hl_damaged_range *const range = &findings->damaged[findings->damages - 1];
            range->first_sequence = findings->next_sequence;
            range->last_sequence = sequence - 1;
        }
        findings->next_sequence = sequence;
    }
    this->after_damage = false;
}

/* Does a record that speaks of `sequence` next come where it should? */
static bool continues(examination *this, uint64_t sequence)
{
    if (this->after_damage && sequence >= this->findings.next_sequence)
        settle_damage(this, sequence);
    return sequence == this->findings.next_sequence;
}

static void count_event(hl_segment_findings *findings, const hl_event *event)
{
    if (findings->events == 0)
        findings->first_sequence = event->sequence;
    if (findings->events == 0 || event->published_ns < findings->first_ns)
        findings->first_ns = event->published_ns;
    if (event->published_ns > findings->last_ns)
        findings->last_ns = event->published_ns;
    findings->events++;
    findings->payload_bytes += event->payload_size;
    findings->last_sequence = event->sequence;
    findings->next_sequence = event->sequence + 1;
}

/* A good record before any seal. False: it is not the one that belongs here. */
static bool take(examination *this, hl_record_kind kind, const void *record, uint64_t offset)
{
    hl_segment_findings *const findings = &this->findings;
    switch (kind) {
    case HL_RECORD_EVENT: {
        const hl_event *const event = record;
        if (!continues(this, event->sequence))
            return false;
        count_event(findings, event);
        return true;
    }
    case HL_RECORD_GROUP: {
        const hl_group *const group = record;
        if (!continues(this, group->last_sequence + 1))
            return false;
        if (group->durable_offset > findings->durable_offset && group->durable_offset <= offset)
            findings->durable_offset = group->durable_offset;
        if (group->reserved_through > findings->reserved_through)
            findings->reserved_through = group->reserved_through;
        findings->groups++;
        return true;
    }
    case HL_RECORD_GAP: {
        const hl_gap *const gap = record;
        if (!continues(this, gap->first_sequence))
            return false;
        findings->gaps++;
        findings->next_sequence = gap->last_sequence + 1;
        return true;
    }
    case HL_RECORD_DICTIONARY:
        findings->dictionary_entries++;
        return true;
    case HL_RECORD_PADDING:
        return true;
    case HL_RECORD_ROTATION:
    case HL_RECORD_FOOTER:
    case HL_RECORD_TRAILER:
        return false;
    }
    return false;
}

/* Where good records go on behind the bad one at `offset`; the file's size: nowhere. */
static uint64_t next_good(examination *this, uint64_t offset)
{
    hl_segment_walk *const walk = this->walk;
    /* Often only this record is bad, and its length can still be believed. */
    hl_record_word word = {0};
    hl_segment_walk_seek(walk, offset);
    if (hl_segment_walk_next(walk) != HL_RECORD_GOOD && walk->read_error == 0 &&
        walk->window_filled >= sizeof word) {
        memcpy(&word, walk->record, sizeof word);
        const uint32_t length = hl_record_length(word);
        if (length >= sizeof word && length % 8 == 0 && offset + length < walk->file_size) {
            hl_segment_walk_seek(walk, offset + length);
            if (hl_segment_walk_next(walk) == HL_RECORD_GOOD)
                return offset + length;
        }
    }
    const uint64_t group = hl_segment_walk_resync(walk, offset + 8);
    if (group != UINT64_MAX)
        return group;
    return this->seal_offset != UINT64_MAX && this->seal_offset > offset ? this->seal_offset
                                                                         : walk->file_size;
}

/* Rotation, footer, trailer from the walk's last record on. True when all are good. */
static bool take_seal(examination *this, hl_record_kind kind)
{
    hl_segment_walk *const walk = this->walk;
    hl_segment_findings *const findings = &this->findings;
    findings->records_end = walk->offset;
    if (kind == HL_RECORD_ROTATION && !is_good(walk, walk->next, HL_RECORD_FOOTER))
        return false;
    hl_record_word word;
    memcpy(&word, walk->record, sizeof word);
    if (hl_record_kind_of(word) != HL_RECORD_FOOTER)
        return false;
    hl_footer footer;
    memcpy(&footer, walk->record, sizeof footer);
    const uint64_t footer_offset = walk->offset;
    if (!is_good(walk, walk->next, HL_RECORD_TRAILER) ||
        ((const hl_trailer *)walk->record)->footer_offset != footer_offset)
        return false;
    findings->sealed = true;
    findings->has_next = kind == HL_RECORD_ROTATION;
    findings->sealed_size = walk->next;
    findings->finished = walk->next == walk->file_size;
    findings->footer_flags = footer.flags;
    if (footer.reserved_through > findings->reserved_through)
        findings->reserved_through = footer.reserved_through;
    this->sealed_last = footer.last_sequence;
    if (findings->damages == 0 && (footer.flags & HL_FOOTER_DAMAGED) == 0)
        findings->footer_lie = find_lie(&footer, findings);
    return true;
}

/* Bytes from `from` up to the last one that is not zero. */
static bool count_torn(hl_segment_walk *walk, uint64_t from, uint64_t *ret_bytes)
{
    uint64_t torn = 0;
    uint8_t *const window = walk->window;
    for (uint64_t at = from; at < walk->file_size;) {
        const int64_t got = hl_io_read_all(walk->io, walk->file, window, walk->window_size, at);
        walk->window_filled = 0; /* the walk's own bytes are gone */
        if (got < 0) {
            walk->read_error = (int)got;
            return false;
        }
        int64_t last = got;
        while (last > 0 && window[last - 1] == 0)
            last--;
        if (last > 0)
            torn = at + (uint64_t)last - from;
        if (got == 0)
            break;
        at += (uint64_t)got;
    }
    *ret_bytes = torn;
    return true;
}

static hl_record_kind kind_of(const void *record)
{
    hl_record_word word;
    memcpy(&word, record, sizeof word);
    return hl_record_kind_of(word);
}

/* The record at walk->offset is not what it should be. True: the walk goes on behind the damage;
 * false: the records end here, torn or not. */
static bool pass_bad(examination *this, hl_record_verdict verdict)
{
    hl_segment_walk *const walk = this->walk;
    const uint64_t offset = walk->offset;
    this->findings.records_end = offset;
    if (this->options->is_being_written &&
        this->findings.next_sequence > this->options->told_sequence)
        return false;
    if (!this->durable_is_known)
        learn_durable(this, offset);
    if (walk->read_error != 0 || offset >= this->durable_end)
        return false;
    /* A segment before the last that ends without a seal: there is nothing more to look at. */
    const uint64_t good = offset < walk->file_size ? next_good(this, offset) : walk->file_size;
    add_damage(this, offset, good, verdict);
    hl_segment_walk_seek(walk, good);
    return good < walk->file_size;
}

/* The walk's record is a good rotation or footer: nothing but the seal follows. */
static void end_at_seal(examination *this, hl_record_kind kind)
{
    hl_segment_walk *const walk = this->walk;
    if (!take_seal(this, kind)) {
        if (!this->options->is_last) /* there it is torn off */
            add_damage(this, walk->offset, walk->file_size, HL_RECORD_BAD_FIELDS);
    } else if (this->sealed_last >= this->findings.next_sequence) {
        /* The footer knows of events that no record holds. */
        if (!this->after_damage)
            add_damage(this, this->findings.records_end, this->findings.records_end,
                       HL_RECORD_BAD_FIELDS);
        settle_damage(this, this->sealed_last + 1);
    }
}

static hl_status walk_records(examination *this, hl_error *error)
{
    hl_segment_walk *const walk = this->walk;
    const hl_examine_options *const options = this->options;
    hl_segment_walk_seek(walk, HL_JOURNAL_HEADER_SIZE);
    for (;;) {
        hl_record_verdict verdict = hl_segment_walk_next(walk);
        if (verdict == HL_RECORD_GOOD) {
            const hl_record_kind kind = kind_of(walk->record);
            if (take(this, kind, walk->record, walk->offset)) {
                this->findings.records_end = walk->next;
                hl_status status = HL_OK;
                if (kind != HL_RECORD_GROUP && options->each != NULL)
                    status =
                        options->each(options->context, walk->record, walk->length, walk->offset);
                if (status != HL_OK)
                    return status;
                continue;
            }
            if (kind == HL_RECORD_ROTATION || kind == HL_RECORD_FOOTER) {
                end_at_seal(this, kind);
                return HL_OK;
            }
            verdict = HL_RECORD_BAD_FIELDS; /* good in itself, out of its place */
        }
        if (walk->read_error == 0 && pass_bad(this, verdict))
            continue;
        return walk->read_error == 0 ? HL_OK : read_failed(walk, error);
    }
}

hl_status hl_segment_examine(hl_segment_walk *walk, const hl_examine_options *options,
                             hl_segment_findings *ret_findings, hl_error *error)
{
    examination this = {.walk = walk,
                        .options = options,
                        .seal_offset = UINT64_MAX,
                        .durable_end = options->is_last ? HL_JOURNAL_HEADER_SIZE : UINT64_MAX,
                        .durable_is_known = !options->is_last};
    this.findings.next_sequence = walk->header.first_sequence;
    this.findings.reserved_through = walk->header.reserved_through;
    this.findings.durable_offset = HL_JOURNAL_HEADER_SIZE;
    this.findings.records_end = HL_JOURNAL_HEADER_SIZE;
    const int result = hl_segment_walk_refresh(walk);
    if (result < 0)
        return hl_io_error(error, result, walk->path, "find the size of");
    look_for_seal(&this);
    hl_status status = walk_records(&this, error);
    if (status == HL_OK && !this.findings.sealed && options->is_last &&
        !options->is_being_written &&
        !count_torn(walk, this.findings.records_end, &this.findings.torn_bytes))
        status = read_failed(walk, error);
    if (status == HL_OK)
        *ret_findings = this.findings;
    return status;
}
