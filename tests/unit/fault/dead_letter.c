#include "fault/dead_letter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fault/dlq.h"
#include "letters.h"

#define POSTERS     4u
#define EACH        5000u
#define PAYLOAD_MAX 400u

Test(dead_letter, sizes_out_of_range_are_refused)
{
    hl_dlq *const dlq = letters_open(NULL);
    hl_dead_letters *letters = NULL;
    hl_error error;
    cr_assert_eq(hl_dead_letters_create(dlq, 100, 128, &letters, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "a ring of 100 slots"), "%s", error.text);
    cr_assert_eq(hl_dead_letters_create(dlq, 4, 128, &letters, &error), HL_INVALID);
    cr_assert_eq(hl_dead_letters_create(dlq, 64, 63, &letters, &error), HL_INVALID);
    cr_assert_eq(hl_dead_letters_create(dlq, 64, 65601, &letters, &error), HL_INVALID);
    cr_assert_eq(hl_dead_letters_create(dlq, 64, 65600, &letters, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "use a larger one"), "%s", error.text);
    cr_assert_null(letters);
    letters_close(dlq);
}

Test(dead_letter, names_have_one_number_each)
{
    hl_dlq *const dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    uint32_t numbers[3], again;
    cr_assert_eq(hl_dead_letters_intern(letters, "order.new", &numbers[0]), HL_OK);
    cr_assert_eq(hl_dead_letters_intern(letters, "order.ne", &numbers[1]), HL_OK);
    cr_assert_eq(hl_dead_letters_intern(letters, "", &numbers[2]), HL_OK);
    cr_assert(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2]);
    cr_assert_eq(hl_dead_letters_intern(letters, "order.ne", &again), HL_OK);
    cr_assert_eq(again, numbers[1]);
    char longest[HL_NAMES_BYTES_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    cr_assert_eq(hl_dead_letters_intern(letters, longest, &again), HL_LIMIT);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dead_letter, a_full_ring_is_said_and_counted_and_nothing_of_it_is_lost)
{
    hl_dlq *const dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 8);
    uint64_t posted = 0;
    cr_assert_not(hl_dead_letters_pending(letters));
    for (;; posted++) {
        const hl_dead_post post = letters_post(letters, posted + 1);
        if (hl_dead_letters_post(letters, &post, letters_event(posted + 1, 8)) == HL_FULL)
            break;
    }
    cr_assert_eq(posted, 8);
    cr_assert(hl_dead_letters_pending(letters));
    cr_assert_eq(hl_dead_letters_drain(letters, NULL), HL_OK);
    cr_assert_not(hl_dead_letters_pending(letters));
    cr_assert_eq(letters_count(dlq), 8);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.refused, 1);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dead_letter, an_event_over_the_stated_size_is_refused)
{
    hl_dlq *const dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    const hl_dead_post post = letters_post(letters, 1);
    cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(1, 448)), HL_OK);
    cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(1, 449)), HL_TOO_LARGE);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dead_letter, a_long_error_text_is_cut_and_none_is_empty)
{
    hl_dlq *const dlq = letters_open(NULL);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    char text[1000];
    memset(text, 'e', sizeof text);
    text[sizeof text - 1] = '\0';
    hl_dead_post post = letters_post(letters, 1);
    post.error_text = text;
    cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(1, 8)), HL_OK);
    post.error_text = NULL;
    cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(2, 8)), HL_OK);
    cr_assert_eq(hl_dead_letters_drain(letters, NULL), HL_OK);
    hl_dead_letter *letter = NULL;
    cr_assert_eq(hl_dlq_get(dlq, 1, &letter, NULL), HL_OK);
    cr_assert_eq(strlen(letter->error_text), HL_DEAD_TEXT_BYTES - 1);
    cr_assert(letters_event_is(letter->event, 1, 8));
    hl_dead_letter_free(letter);
    cr_assert_eq(hl_dlq_get(dlq, 2, &letter, NULL), HL_OK);
    cr_assert_str_eq(letter->error_text, "");
    hl_dead_letter_free(letter);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

/* ------- many threads ------- */

typedef struct poster {
    pthread_t thread;
    hl_dead_letters *letters;
    uint64_t first;
} poster;

static uint32_t size_of_number(uint64_t number)
{
    return (uint32_t)(number * 7 % PAYLOAD_MAX);
}

static void *post_all(void *context)
{
    const poster *const own = context;
    for (uint64_t i = 0; i < EACH; i++) {
        const uint64_t number = own->first + i;
        const hl_dead_post post = letters_post(own->letters, number);
        while (hl_dead_letters_post(own->letters, &post,
                                    letters_event(number, size_of_number(number))) == HL_FULL)
            sched_yield();
    }
    return NULL;
}

typedef struct seen {
    unsigned char count[POSTERS * EACH];
    uint64_t last[POSTERS]; /* of each poster, in the order of ids */
} seen;

static bool look(const hl_dead_letter *letter, void *context)
{
    seen *const so_far = context;
    const uint64_t number = letter->event->sequence;
    cr_assert_lt(number, POSTERS * EACH);
    cr_assert(letters_event_is(letter->event, number, size_of_number(number)));
    cr_assert_eq(letter->error_code, -(int32_t)number);
    so_far->count[number]++;
    uint64_t *const last = &so_far->last[number / EACH];
    cr_assert(*last <= number, "letters of one thread out of order");
    *last = number;
    return true;
}

Test(dead_letter, every_letter_of_every_thread_arrives_once_whole_and_in_order)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.memory_bytes = 64 << 20;
    hl_dlq *dlq = NULL;
    cr_assert_eq(hl_dlq_open(&options, &dlq, NULL), HL_OK);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    poster posters[POSTERS];
    for (uint32_t i = 0; i < POSTERS; i++) {
        posters[i] = (poster){.letters = letters, .first = (uint64_t)i * EACH};
        cr_assert_eq(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    hl_dlq_stats stats = {0};
    while (stats.added < POSTERS * EACH) {
        cr_assert_eq(hl_dead_letters_drain(letters, NULL), HL_OK);
        hl_dlq_stats_get(dlq, &stats);
    }
    for (uint32_t i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    cr_assert_eq(hl_dead_letters_drain(letters, NULL), HL_OK);
    seen *const so_far = calloc(1, sizeof *so_far);
    cr_assert_eq(hl_dlq_list(dlq, NULL, look, so_far, NULL), HL_OK);
    for (uint32_t i = 0; i < POSTERS * EACH; i++)
        cr_assert_eq(so_far->count[i], 1, "number %u came %u times", i, so_far->count[i]);
    free(so_far);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}
