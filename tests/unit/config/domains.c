#include "config/domains.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_names(const char *list, const char *const *names, size_t count)
{
    const char *cursor = list;
    hl_name name;
    for (size_t i = 0; i < count; i++) {
        cr_assert(hl_domain_list_next(&cursor, &name), "\"%s\" ended before %zu", list, i);
        cr_assert_eq(name.bytes, strlen(names[i]));
        cr_assert_arr_eq(name.text, names[i], name.bytes);
    }
    cr_assert_not(hl_domain_list_next(&cursor, &name), "\"%s\" has more names", list);
    cr_assert_not(hl_domain_list_next(&cursor, &name), "the end must stay the end");
}

Test(domain_list, no_list_and_an_empty_one_have_no_names)
{
    expect_names(NULL, NULL, 0);
    expect_names("", NULL, 0);
    expect_names(" \t", NULL, 0);
}

Test(domain_list, names_are_split_by_commas_and_stripped)
{
    expect_names("order", (const char *[]){"order"}, 1);
    expect_names("order,fill", (const char *[]){"order", "fill"}, 2);
    expect_names("  order\t, fill  ", (const char *[]){"order", "fill"}, 2);
    expect_names("*", (const char *[]){"*"}, 1);
}

Test(domain_list, an_empty_name_is_given_but_a_last_comma_is_nothing)
{
    expect_names("order,,fill", (const char *[]){"order", "", "fill"}, 3);
    expect_names(",fill", (const char *[]){"", "fill"}, 2);
    expect_names("order, ", (const char *[]){"order"}, 1);
}

Test(domain_find, finds_whole_names_only)
{
    uint32_t count, index = 99;
    const hl_domain_config *const domains = hl_default_domains(&count);
    cr_assert(hl_domain_find(domains, count, (hl_name){"order.new", 5}, &index));
    cr_assert_str_eq(domains[index].name, "order");
    index = 99;
    cr_assert_not(hl_domain_find(domains, count, (hl_name){"ord", 3}, &index));
    cr_assert_not(hl_domain_find(domains, count, (hl_name){"orders", 6}, &index));
    cr_assert_not(hl_domain_find(domains, count, (hl_name){"", 0}, &index));
    cr_assert_eq(index, 99, "untouched when there is none");
}

Test(domain_publishes_to, follows_names_and_the_star)
{
    const hl_domain_config fill = {.name = "fill"};
    cr_assert(hl_domain_publishes_to(&(hl_domain_config){.publishes_to = "order, fill"}, &fill));
    cr_assert(hl_domain_publishes_to(&(hl_domain_config){.publishes_to = "*"}, &fill));
    cr_assert_not(hl_domain_publishes_to(&(hl_domain_config){.publishes_to = "fills"}, &fill));
    cr_assert_not(hl_domain_publishes_to(&(hl_domain_config){.publishes_to = ""}, &fill));
    cr_assert_not(hl_domain_publishes_to(&(hl_domain_config){.publishes_to = NULL}, &fill));
}

Test(config_domains, none_means_the_default_ones)
{
    uint32_t count, default_count;
    hl_config config = HL_CONFIG_INIT;
    cr_assert_eq(hl_config_domains(&config, &count), hl_default_domains(&default_count));
    cr_assert_eq(count, default_count);
    const hl_domain_config one = {.name = "one"};
    config.domains = &one;
    config.domain_count = 1;
    cr_assert_eq(hl_config_domains(&config, &count), &one);
    cr_assert_eq(count, 1);
}
