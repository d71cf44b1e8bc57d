#include "base/mailbox.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct message {
    uint64_t stamp; /* the ring's */
    uint64_t value;
} message;

Test(mailbox, what_was_put_in_comes_out_in_order)
{
    hl_mailbox box;
    uint64_t position;
    void *first;
    cr_assert(hl_mailbox_make(&box, 64, 4));
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 4; i++) {
            cr_assert(hl_mpsc_try_claim(&box.in, 1, &position));
            ((message *)hl_mpsc_slot(&box.in, position))->value = 4 * round + i;
            hl_mpsc_commit(&box.in, position, 1);
        }
        cr_assert_not(hl_mpsc_try_claim(&box.in, 1, &position), "it has room for 4");
        for (uint64_t i = 0; i < 4; i++) {
            cr_assert_eq(hl_ring_peek(&box.out, 1, &first), 1);
            cr_assert_eq(((const message *)first)->value, 4 * round + i);
            hl_ring_release(&box.out, 1);
        }
        cr_assert_eq(hl_ring_peek(&box.out, 1, &first), 0);
    }
    hl_mailbox_free(&box);
}

Test(mailbox, sizes_that_no_ring_has_are_refused)
{
    hl_mailbox box;
    memset(&box, 0, sizeof box);
    cr_assert_not(hl_mailbox_make(&box, 100, 4));
    cr_assert_not(hl_mailbox_make(&box, 64, 3));
    cr_assert_not(hl_mailbox_make(&box, 64, 0));
    hl_mailbox_free(&box);
}
