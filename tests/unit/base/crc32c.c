#include "base/crc32c.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* RFC 3720, appendix B.4. */
Test(crc32c, gives_what_the_rfc_gives)
{
    uint8_t bytes[32] = {0};
    cr_assert_eq(hl_crc32c(0, bytes, sizeof bytes), 0x8a9136aau);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 0xff;
    cr_assert_eq(hl_crc32c(0, bytes, sizeof bytes), 0x62a8ab43u);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    cr_assert_eq(hl_crc32c(0, bytes, sizeof bytes), 0x46dd794eu);
    cr_assert_eq(hl_crc32c(0, "123456789", 9), 0xe3069283u);
}

Test(crc32c, of_nothing_goes_on_unchanged)
{
    cr_assert_eq(hl_crc32c(0, "", 0), 0);
    cr_assert_eq(hl_crc32c(0x12345678u, "", 0), 0x12345678u);
}

Test(crc32c, table_and_instruction_agree_at_each_length_and_alignment)
{
    uint8_t bytes[300];
    srand(7);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rand();
    for (size_t from = 0; from < 9; from++)
        for (size_t size = 0; size + from <= sizeof bytes; size++)
            cr_assert_eq(hl_crc32c(0, bytes + from, size),
                         hl_crc32c_by_table(0, bytes + from, size), "from %zu, %zu bytes", from,
                         size);
}

Test(crc32c, in_two_parts_is_the_same_as_in_one)
{
    const char text[] = "a journal that can be trusted with money";
    const uint32_t whole = hl_crc32c(0, text, sizeof text);
    for (size_t cut = 0; cut <= sizeof text; cut++)
        cr_assert_eq(hl_crc32c(hl_crc32c(0, text, cut), text + cut, sizeof text - cut), whole);
}

Test(crc32c, of_words_is_that_of_their_bytes)
{
    uint8_t bytes[4 + 8 * 20];
    srand(9);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rand();
    uint32_t first;
    memcpy(&first, bytes, sizeof first);
    for (size_t words = 0; words <= 20; words++)
        cr_assert_eq(hl_crc32c_words(5, first, bytes + 4, words),
                     hl_crc32c_by_table(5, bytes, 4 + 8 * words));
}
