#include "fault/dlq.h"

#include <stdio.h>
#include <string.h>

#include "letters.h"

TestSuite(dlq, .init = letters_set_up, .fini = letters_tear_down);

static void check_letter(hl_dlq *dlq, uint64_t id, uint64_t number, uint32_t payload_size)
{
    hl_dead_letter *letter = NULL;
    hl_error error;
    cr_assert_eq(hl_dlq_get(dlq, id, &letter, &error), HL_OK, "%s", error.text);
    const bool odd = number % 2 != 0;
    cr_assert_eq(letter->id, id);
    cr_assert_eq(letter->event_id, hl_event_id_of(3, number));
    cr_assert(letters_event_is(letter->event, number, payload_size));
    cr_assert_str_eq(letter->topic, odd ? "fill.done" : "order.new");
    cr_assert_str_eq(letter->source, "gateway-a");
    cr_assert_str_eq(letter->subscription, odd ? "book" : "risk");
    cr_assert_str_eq(letter->pattern, odd ? "fill.*" : "order.>");
    cr_assert_str_eq(letter->error_text, "limit exceeded");
    cr_assert_eq(letter->reason, odd ? HL_DEAD_REJECTED : HL_DEAD_EXHAUSTED);
    cr_assert_eq(letter->error_code, -(int32_t)number);
    cr_assert_eq(letter->attempts, 4);
    cr_assert_eq(letter->last_failed_ns, number * HL_SECOND);
    hl_dead_letter_free(letter);
}

Test(dlq, letters_are_kept_whole_and_read_by_a_stranger)
{
    const char *const path = letters_file();
    const uint32_t sizes[] = {0, 1, 63, 64, 100, 4096, LETTERS_PAYLOAD_MAX};
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *const letters = letters_ring(dlq, 1024);
    for (uint64_t i = 0; i < 7; i++)
        letters_add(letters, i + 1, sizes[i]);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);

    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    options.read_only = true;
    cr_assert_eq(hl_dlq_open(&options, &dlq, NULL), HL_OK);
    for (uint64_t i = 0; i < 7; i++)
        check_letter(dlq, i + 1, i + 1, sizes[i]);
    hl_error error;
    cr_assert_eq(hl_dlq_purge(dlq, NULL, NULL, &error), HL_NOT_ALLOWED);
    hl_dead_letter *letter = NULL;
    cr_assert_eq(hl_dlq_get(dlq, 8, &letter, &error), HL_NOT_FOUND);
    cr_assert_null(letter);
    letters_close(dlq);
}

Test(dlq, numbers_of_letters_and_names_go_on_after_a_restart)
{
    const char *const path = letters_file();
    for (uint64_t i = 1; i <= 5; i++) {
        hl_dlq *const dlq = letters_open(path);
        hl_dead_letters *const letters = letters_ring(dlq, 64);
        uint32_t unused;
        char other[32];
        snprintf(other, sizeof other, "other.%d", (int)i);
        cr_assert_eq(hl_dead_letters_intern(letters, other, &unused), HL_OK);
        letters_add(letters, i, 10);
        for (uint64_t id = 1; id <= i; id++)
            check_letter(dlq, id, id, 10);
        hl_dead_letters_destroy(letters);
        letters_close(dlq);
    }
}

Test(dlq, a_file_that_is_only_opened_and_closed_does_not_grow)
{
    const char *const path = letters_file();
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    letters_add(letters, 1, 10);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
    size_t size_before, size_after;
    free(letters_read_file(path, &size_before));
    for (int i = 0; i < 3; i++)
        letters_close(letters_open(path));
    free(letters_read_file(path, &size_after));
    cr_assert_eq(size_before, size_after);
}

/* ------- filters ------- */

static uint64_t counted(hl_dlq *dlq, const hl_dlq_filter *filter)
{
    uint64_t count = 0;
    hl_error error;
    cr_assert_eq(hl_dlq_count(dlq, filter, &count, &error), HL_OK, "%s", error.text);
    return count;
}

Test(dlq, filters_are_all_to_hold)
{
    hl_dlq *dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= 10; i++)
        letters_add(letters, i, 8);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    cr_assert_eq(counted(dlq, NULL), 10);
    cr_assert_eq(counted(dlq, &filter), 10);
    filter.topic = "order.*";
    cr_assert_eq(counted(dlq, &filter), 5);
    filter.topic = ">";
    filter.subscription = "book";
    cr_assert_eq(counted(dlq, &filter), 5);
    filter.subscription = "fill.*"; /* its pattern */
    cr_assert_eq(counted(dlq, &filter), 5);
    filter.from_ns = 4 * HL_SECOND;
    filter.to_ns = 9 * HL_SECOND;
    cr_assert_eq(counted(dlq, &filter), 2); /* 5 and 7 */
    filter.reason = HL_DEAD_EXHAUSTED;
    cr_assert_eq(counted(dlq, &filter), 0);
    filter = (hl_dlq_filter)HL_DLQ_FILTER_INIT;
    filter.id = 7;
    cr_assert_eq(counted(dlq, &filter), 1);
    filter.topic = "order.>";
    cr_assert_eq(counted(dlq, &filter), 0);
    filter = (hl_dlq_filter)HL_DLQ_FILTER_INIT;
    filter.state = HL_DEAD_ASKED;
    cr_assert_eq(counted(dlq, &filter), 0);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dlq, a_malformed_filter_is_refused_by_name)
{
    hl_dlq *dlq = letters_open(NULL);
    hl_error error;
    uint64_t count;
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.topic = "order..new";
    cr_assert_eq(hl_dlq_count(dlq, &filter, &count, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "filter.topic: \"order..new\""), "%s", error.text);
    filter = (hl_dlq_filter)HL_DLQ_FILTER_INIT;
    filter.from_ns = 2;
    filter.to_ns = 1;
    cr_assert_eq(hl_dlq_purge(dlq, &filter, NULL, &error), HL_INVALID);
    filter.size = 1;
    cr_assert_eq(hl_dlq_redrive(dlq, &filter, NULL, &error), HL_INVALID);
    letters_close(dlq);
}

Test(dlq, options_out_of_range_are_refused_by_name)
{
    hl_dlq *dlq = NULL;
    hl_error error;
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.memory_bytes = 1000;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "dlq.memory_bytes: 1000"));
    options = (hl_dlq_options)HL_DLQ_OPTIONS_INIT;
    options.max_letters = 0;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_INVALID);
    options = (hl_dlq_options)HL_DLQ_OPTIONS_INIT;
    options.read_only = true;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_INVALID);
    options = (hl_dlq_options)HL_DLQ_OPTIONS_INIT;
    options.salvage = true;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_INVALID);
    options.size = 0;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_INVALID);
    cr_assert_null(dlq);
}

/* ------- redriving ------- */

typedef struct receiver {
    uint64_t ids[16];
    uint32_t count;
    hl_status answer;
} receiver;

static hl_status receive(const hl_dead_letter *letter, void *context)
{
    receiver *const into = context;
    cr_assert_lt(into->count, 16);
    into->ids[into->count++] = letter->id;
    return into->answer;
}

static hl_dead_state state_of(hl_dlq *dlq, uint64_t id)
{
    hl_dead_letter *letter = NULL;
    cr_assert_eq(hl_dlq_get(dlq, id, &letter, NULL), HL_OK);
    const hl_dead_state state = letter->state;
    hl_dead_letter_free(letter);
    return state;
}

Test(dlq, without_a_bus_a_redrive_is_asked_for_and_found_at_the_next_start)
{
    const char *const path = letters_file();
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= 4; i++)
        letters_add(letters, i, 8);
    hl_dead_letters_destroy(letters);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.topic = "order.>";
    uint64_t count = 0;
    cr_assert_eq(hl_dlq_redrive(dlq, &filter, &count, NULL), HL_OK);
    cr_assert_eq(count, 2);
    letters_close(dlq);

    dlq = letters_open(path);
    letters = letters_ring(dlq, 64);
    receiver into = {.answer = HL_OK};
    hl_dead_letters_set_redriver(letters, receive, &into);
    filter = (hl_dlq_filter)HL_DLQ_FILTER_INIT;
    filter.state = HL_DEAD_ASKED;
    cr_assert_eq(hl_dlq_redrive(dlq, &filter, &count, NULL), HL_OK);
    cr_assert_eq(count, 2);
    cr_assert_eq(into.count, 2);
    cr_assert_eq(into.ids[0], 2);
    cr_assert_eq(into.ids[1], 4);
    cr_assert_eq(state_of(dlq, 2), HL_DEAD_REDRIVING);
    cr_assert_eq(hl_dead_letters_handled(letters, 2, NULL), HL_OK);
    cr_assert_eq(hl_dead_letters_handled(letters, 2, NULL), HL_NOT_FOUND);
    cr_assert_eq(letters_count(dlq), 3);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);

    /* What became of letter 4 nobody saw: it is to be redriven again. */
    dlq = letters_open(path);
    cr_assert_eq(letters_count(dlq), 3);
    cr_assert_eq(state_of(dlq, 4), HL_DEAD_ASKED);
    letters_close(dlq);
}

static void check_history(hl_dlq *dlq, uint32_t redrives)
{
    hl_dead_letter *letter = NULL;
    cr_assert_eq(hl_dlq_get(dlq, 1, &letter, NULL), HL_OK);
    const uint32_t kept = redrives < HL_DEAD_HISTORY_MAX ? redrives : HL_DEAD_HISTORY_MAX;
    cr_assert_eq(letter->redrives, redrives);
    cr_assert_eq(letter->history_count, kept);
    cr_assert_eq(letter->state, HL_DEAD_WAITING);
    cr_assert_eq(letter->error_code, -(int32_t)redrives - 100);
    for (uint32_t i = 0; i < kept; i++) {
        const int32_t life = (int32_t)(redrives - kept + i);
        cr_assert_eq(letter->history[i].error_code, life == 0 ? -1 : -life - 100);
        cr_assert_neq(letter->history[i].redriven_ns, 0);
    }
    cr_assert(letters_event_is(letter->event, 1, 8));
    hl_dead_letter_free(letter);
}

Test(dlq, a_redrive_that_fails_again_comes_back_with_its_history)
{
    const char *const path = letters_file();
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *letters = letters_ring(dlq, 64);
    receiver into = {.answer = HL_OK};
    hl_dead_letters_set_redriver(letters, receive, &into);
    letters_add(letters, 1, 8);
    for (uint32_t redrives = 1; redrives <= HL_DEAD_HISTORY_MAX + 2; redrives++) {
        cr_assert_eq(hl_dlq_redrive(dlq, NULL, NULL, NULL), HL_OK);
        cr_assert_eq(into.ids[redrives - 1], 1);
        cr_assert_eq(hl_dlq_redrive(dlq, NULL, NULL, NULL), HL_NOT_FOUND, "it is under way");
        cr_assert_eq(hl_dlq_purge(dlq, NULL, NULL, NULL), HL_NOT_FOUND, "it is under way");
        hl_dead_post post = letters_post(letters, 1);
        post.redriven_id = 1;
        post.error_code = -(int32_t)redrives - 100;
        cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(1, 8)), HL_OK);
        cr_assert_eq(hl_dead_letters_drain(letters, NULL), HL_OK);
        cr_assert_eq(letters_count(dlq), 1);
        check_history(dlq, redrives);
    }
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
    dlq = letters_open(path);
    check_history(dlq, HL_DEAD_HISTORY_MAX + 2);
    letters_close(dlq);
}

Test(dlq, what_cannot_be_handed_over_stays_asked)
{
    hl_dlq *dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    receiver into = {.answer = HL_FULL};
    hl_dead_letters_set_redriver(letters, receive, &into);
    letters_add(letters, 1, 8);
    uint64_t count = 0;
    cr_assert_eq(hl_dlq_redrive(dlq, NULL, &count, NULL), HL_OK);
    cr_assert_eq(count, 1);
    cr_assert_eq(state_of(dlq, 1), HL_DEAD_ASKED);
    into.answer = HL_OK;
    cr_assert_eq(hl_dlq_redrive(dlq, NULL, &count, NULL), HL_OK);
    cr_assert_eq(state_of(dlq, 1), HL_DEAD_REDRIVING);
    cr_assert_eq(hl_dead_letters_handled(letters, 1, NULL), HL_OK);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.redriven, 1);
    cr_assert_eq(stats.waiting + stats.asked + stats.redriving, 0);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dlq, a_letter_that_is_gone_when_its_redrive_fails_is_a_new_one)
{
    hl_dlq *dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    hl_dead_post post = letters_post(letters, 5);
    post.redriven_id = 77;
    cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(5, 8)), HL_OK);
    cr_assert_eq(hl_dead_letters_drain(letters, NULL), HL_OK);
    check_letter(dlq, 1, 5, 8);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

/* ------- purging, and rewriting ------- */

Test(dlq, purged_letters_stay_purged)
{
    const char *const path = letters_file();
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= 10; i++)
        letters_add(letters, i, 100);
    hl_dead_letters_destroy(letters);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.subscription = "risk";
    uint64_t count = 0;
    cr_assert_eq(hl_dlq_purge(dlq, &filter, &count, NULL), HL_OK);
    cr_assert_eq(count, 5);
    cr_assert_eq(hl_dlq_purge(dlq, &filter, &count, NULL), HL_NOT_FOUND);
    letters_close(dlq);
    dlq = letters_open(path);
    cr_assert_eq(letters_count(dlq), 5);
    for (uint64_t i = 1; i <= 9; i += 2)
        check_letter(dlq, i, i, 100);
    letters_close(dlq);
}

Test(dlq, a_rewritten_file_holds_what_is_left_and_uses_no_number_again)
{
    const char *const path = letters_file();
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *letters = letters_ring(dlq, 512);
    for (uint64_t i = 1; i <= 10; i++)
        letters_add(letters, i, 1000);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.from_ns = 4 * HL_SECOND;
    cr_assert_eq(hl_dlq_purge(dlq, &filter, NULL, NULL), HL_OK);
    filter = (hl_dlq_filter)HL_DLQ_FILTER_INIT;
    filter.id = 2;
    cr_assert_eq(hl_dlq_redrive(dlq, &filter, NULL, NULL), HL_OK);
    size_t size_before, size_after;
    free(letters_read_file(path, &size_before));
    hl_error error;
    cr_assert_eq(hl_dlq_rewrite(dlq, &error), HL_OK, "%s", error.text);
    free(letters_read_file(path, &size_after));
    cr_assert_lt(size_after, size_before / 2);
    for (uint64_t i = 1; i <= 3; i++)
        check_letter(dlq, i, i, 1000);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);

    dlq = letters_open(path);
    letters = letters_ring(dlq, 64);
    cr_assert_eq(letters_count(dlq), 3);
    cr_assert_eq(state_of(dlq, 2), HL_DEAD_ASKED);
    letters_add(letters, 11, 10);
    check_letter(dlq, 11, 11, 10);
    cr_assert_eq(letters_count(dlq), 4);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

static bool holds_event(const char *path, uint64_t number, uint32_t payload_size)
{
    size_t size;
    unsigned char *const bytes = letters_read_file(path, &size);
    const void *const payload = letters_event(number, payload_size) + 1;
    const bool found = memmem(bytes, size, payload, payload_size) != NULL;
    free(bytes);
    return found;
}

Test(dlq, nothing_of_a_purged_letter_is_in_a_file_that_was_compacted)
{
    const char *const path = letters_file();
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    hl_dlq_stats stats;
    hl_error error;
    filter.id = 2;
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= 3; i++)
        letters_add(letters, i, 100);
    cr_assert_eq(hl_dlq_compact(dlq, &error), HL_OK, "%s", error.text);
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.compactions, 0, "nothing is gone");
    cr_assert_eq(hl_dlq_purge(dlq, &filter, NULL, NULL), HL_OK);
    hl_dead_letters_destroy(letters);
    letters_close(dlq); /* as one that ended in between */
    cr_assert(holds_event(path, 2, 100), "it is only marked");
    dlq = letters_open(path);
    cr_assert_eq(hl_dlq_purge(dlq, &filter, NULL, NULL), HL_NOT_FOUND);
    cr_assert_eq(hl_dlq_compact(dlq, &error), HL_OK, "%s", error.text);
    cr_assert_not(holds_event(path, 2, 100));
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.compactions, 1);
    cr_assert_eq(hl_dlq_compact(dlq, &error), HL_OK);
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.compactions, 1, "nothing is gone since");
    check_letter(dlq, 1, 1, 100);
    check_letter(dlq, 3, 3, 100);
    letters_close(dlq);
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    options.read_only = true;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_OK);
    cr_assert_eq(hl_dlq_compact(dlq, &error), HL_NOT_ALLOWED);
    letters_close(dlq);
    cr_assert_eq(hl_dlq_open(NULL, &dlq, &error), HL_OK);
    cr_assert_eq(hl_dlq_compact(dlq, &error), HL_OK, "in memory there is nothing to do");
    letters_close(dlq);
}

Test(dlq, a_name_that_a_rewrite_left_out_is_written_when_it_is_used_again)
{
    const char *const path = letters_file();
    hl_dlq *dlq = letters_open(path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    letters_add(letters, 1, 8);
    letters_add(letters, 2, 8);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.id = 2;
    cr_assert_eq(hl_dlq_purge(dlq, &filter, NULL, NULL), HL_OK);
    cr_assert_eq(hl_dlq_rewrite(dlq, NULL), HL_OK);
    letters_add(letters, 4, 8);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
    dlq = letters_open(path);
    check_letter(dlq, 1, 1, 8);
    check_letter(dlq, 3, 4, 8);
    letters_close(dlq);
}

Test(dlq, a_name_is_written_once)
{
    hl_dlq *const dlq = letters_open(letters_file());
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    uint64_t bytes[4] = {0};
    for (uint32_t i = 0; i < 4; i++) {
        hl_dlq_stats stats;
        letters_add(letters, 2 * i + 1, 8);
        hl_dlq_stats_get(dlq, &stats);
        bytes[i] = stats.file_bytes;
    }
    cr_assert_eq(bytes[3] - bytes[2], bytes[2] - bytes[1]);
    cr_assert_gt(bytes[0] - sizeof(hl_dlq_header), bytes[2] - bytes[1]);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dlq, a_file_at_its_quota_is_rewritten_or_refuses)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = letters_file();
    options.max_file_bytes = 2 << 20;
    options.memory_bytes = 1 << 20;
    hl_dlq *dlq = NULL;
    cr_assert_eq(hl_dlq_open(&options, &dlq, NULL), HL_OK);
    hl_dead_letters *const letters = letters_ring(dlq, 1024);
    uint64_t number = 1;
    for (; number <= 30; number++)
        letters_add(letters, number, LETTERS_PAYLOAD_MAX);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.to_ns = 21 * HL_SECOND;
    cr_assert_eq(hl_dlq_purge(dlq, &filter, NULL, NULL), HL_OK);
    for (; number <= 50; number++) /* over the quota, if nothing had been given back */
        letters_add(letters, number, LETTERS_PAYLOAD_MAX);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_geq(stats.compactions, 1);
    cr_assert_leq(stats.file_bytes, options.max_file_bytes);
    hl_error error;
    hl_status status;
    uint64_t accepted = 0;
    do { /* now all are wanted: memory fills, then the ring's letters have to wait */
        const hl_dead_post post = letters_post(letters, number);
        cr_assert_eq(
            hl_dead_letters_post(letters, &post, letters_event(number, LETTERS_PAYLOAD_MAX)),
            HL_OK);
        status = hl_dead_letters_drain(letters, &error);
        accepted += status != HL_FULL;
        number++;
    } while (status != HL_FULL);
    cr_assert_gt(accepted, 5);
    cr_assert_not_null(strstr(error.text, "max_file_bytes"), "%s", error.text);
    cr_assert(hl_dead_letters_pending(letters));
    const uint64_t kept = letters_count(dlq);
    filter = (hl_dlq_filter)HL_DLQ_FILTER_INIT;
    filter.to_ns = 41 * HL_SECOND;
    hl_dlq_purge(dlq, &filter, NULL, NULL);
    cr_assert_eq(hl_dead_letters_drain(letters, &error), HL_OK, "%s", error.text);
    cr_assert_not(hl_dead_letters_pending(letters));
    cr_assert_eq(letters_count(dlq), kept - 20 + 1);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

/* ------- memory only ------- */

Test(dlq, a_full_memory_drops_the_oldest_and_counts_them)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.memory_bytes = 1 << 20;
    hl_dlq *dlq = NULL;
    cr_assert_eq(hl_dlq_open(&options, &dlq, NULL), HL_OK);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= 20000; i++)
        letters_add(letters, i, 200);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.lost + stats.waiting, 20000);
    cr_assert_gt(stats.waiting, 1000);
    cr_assert_leq(stats.memory_bytes, options.memory_bytes);
    for (uint64_t i = stats.lost + 1; i <= 20000; i++)
        check_letter(dlq, i, i, 200);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dlq, a_full_memory_that_may_not_drop_refuses_until_some_are_purged)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.memory_bytes = 1 << 20;
    options.drop_oldest = false;
    hl_dlq *dlq = NULL;
    cr_assert_eq(hl_dlq_open(&options, &dlq, NULL), HL_OK);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    hl_status status = HL_OK;
    uint64_t number = 0;
    hl_error error;
    while (status == HL_OK) {
        const hl_dead_post post = letters_post(letters, ++number);
        cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(number, 200)), HL_OK);
        status = hl_dead_letters_drain(letters, &error);
    }
    cr_assert_eq(status, HL_FULL);
    cr_assert_eq(letters_count(dlq), number - 1);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.topic = "order.>";
    cr_assert_eq(hl_dlq_purge(dlq, &filter, NULL, NULL), HL_OK);
    cr_assert_eq(hl_dead_letters_drain(letters, &error), HL_OK, "%s", error.text);
    check_letter(dlq, number, number, 200);
    check_letter(dlq, 1, 1, 200);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.lost, 0);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dlq, no_more_letters_than_asked_for)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.max_letters = 3;
    hl_dlq *dlq = NULL;
    cr_assert_eq(hl_dlq_open(&options, &dlq, NULL), HL_OK);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= 5; i++)
        letters_add(letters, i, 8);
    cr_assert_eq(letters_count(dlq), 3);
    check_letter(dlq, 3, 3, 8);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

/* ------- who may open it ------- */

Test(dlq, one_writer_at_a_time_and_any_readers)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = letters_file();
    hl_dlq *writer = NULL, *second = NULL, *reader = NULL;
    hl_error error;
    cr_assert_eq(hl_dlq_open(&options, &writer, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_dlq_open(&options, &second, &error), HL_LOCKED);
    cr_assert_not_null(strstr(error.text, "open for writing"), "%s", error.text);
    options.read_only = true;
    cr_assert_eq(hl_dlq_open(&options, &reader, &error), HL_OK, "%s", error.text);
    letters_close(reader);
    letters_close(writer);
    options.read_only = false;
    cr_assert_eq(hl_dlq_open(&options, &second, &error), HL_OK, "%s", error.text);
    letters_close(second);
}

Test(dlq, a_file_that_is_not_there_is_made_only_if_it_may_be)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = letters_path("none.dlq");
    hl_dlq *dlq = NULL;
    hl_error error;
    options.must_exist = true;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_NOT_FOUND);
    options.must_exist = false;
    options.read_only = true;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_NOT_FOUND);
    cr_assert_not_null(strstr(error.text, "none.dlq: there is no such file"), "%s", error.text);
}

static bool purge_while_looking(const hl_dead_letter *letter, void *context)
{
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.id = letter->id;
    cr_assert_eq(hl_dlq_purge(context, &filter, NULL, NULL), HL_OK);
    return letter->id < 3;
}

Test(dlq, a_visitor_may_change_what_it_looks_at)
{
    hl_dlq *dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= 5; i++)
        letters_add(letters, i, 8);
    cr_assert_eq(hl_dlq_list(dlq, NULL, purge_while_looking, dlq, NULL), HL_OK);
    cr_assert_eq(letters_count(dlq), 2);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}
