#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "perf/cores.h"

static const char *refusal_of(const char *text)
{
    static hl_error error;
    perf_cores cores = {.publisher = 4711};
    cr_assert_eq(perf_cores_choose(text, &cores, &error), HL_INVALID);
    cr_assert_eq(cores.publisher, 4711, "untouched");
    return error.text;
}

Test(perf_cores, two_are_chosen_where_there_are_two)
{
    perf_cores cores;
    hl_error error;
    cr_assert_eq(perf_cores_choose(NULL, &cores, &error), HL_OK, "%s", error.text);
    cr_assert_not(cores.named);
    cr_assert_eq(perf_cores_are_two(&cores), cores.allowed > 1);
    cr_assert_neq(cores.relation[0], '\0');
}

Test(perf_cores, named_ones_are_taken)
{
    perf_cores chosen, named;
    hl_error error;
    char text[64];
    cr_assert_eq(perf_cores_choose(NULL, &chosen, &error), HL_OK);
    snprintf(text, sizeof text, "consumer=%u,publisher=%u", chosen.publisher, chosen.consumer);
    cr_assert_eq(perf_cores_choose(text, &named, &error), HL_OK, "%s", error.text);
    cr_assert_eq(named.consumer, chosen.publisher);
    cr_assert_eq(named.publisher, chosen.consumer);
    cr_assert(named.named);
}

Test(perf_cores, one_named_gets_a_mate)
{
    perf_cores chosen, named;
    hl_error error;
    char text[64];
    cr_assert_eq(perf_cores_choose(NULL, &chosen, &error), HL_OK);
    snprintf(text, sizeof text, "publisher=%u", chosen.consumer);
    cr_assert_eq(perf_cores_choose(text, &named, &error), HL_OK, "%s", error.text);
    cr_assert_eq(named.publisher, chosen.consumer);
    cr_assert_eq(perf_cores_are_two(&named), named.allowed > 1);
}

Test(perf_cores, bad_text_gets_a_sentence)
{
    cr_assert(strstr(refusal_of("sender=1"), "\"sender\" is not a role") != NULL);
    cr_assert(strstr(refusal_of("publisher"), "a CPU number must follow publisher=") != NULL);
    cr_assert(strstr(refusal_of("publisher="), "a CPU number must follow") != NULL);
    cr_assert(strstr(refusal_of("publisher=-1"), "a CPU number must follow") != NULL);
    cr_assert(strstr(refusal_of("consumer=0x"), "a CPU number must follow") != NULL);
    cr_assert(strstr(refusal_of("publisher= 0"), "a CPU number must follow") != NULL);
    cr_assert(strstr(refusal_of("publisher=99999"), "no such CPU") != NULL);
    cr_assert(strstr(refusal_of(""), "\"\" is not a role") != NULL);
    cr_assert(strstr(refusal_of("publisher=0,"), "\"\" is not a role") != NULL);
    cr_assert(strstr(refusal_of("publisher=0,publisher=1"), "named twice") != NULL);
}

/* Of a machine that is not there. */
static perf_cores choose_of(const char *machine, const char *allowed, const char *text)
{
    const hl_topology_source source = {.synthetic = machine, .allowed_cpus = allowed};
    hl_topology *topology = NULL;
    hl_error error = {.text = ""};
    perf_cores cores;
    cr_assert_eq(hl_topology_load(&source, &topology, &error), HL_OK, "%s", error.text);
    cr_assert_eq(perf_cores_choose_of(topology, text, &cores, &error), HL_OK, "%s", error.text);
    hl_topology_free(topology);
    return cores;
}

Test(perf_cores, the_housekeeper_gets_a_third_core_where_there_is_one)
{
    perf_cores cores = choose_of("pack:1 core:4 pu:2", NULL, "publisher=0,consumer=2");
    cr_assert_eq(cores.housekeeper, 4, "1 and 3 are their siblings");
    cores = choose_of("pack:1 core:4 pu:2", NULL, NULL);
    cr_assert(cores.consumer == 6 && cores.publisher == 4);
    cr_assert_eq(cores.housekeeper, 0);
    cores = choose_of("pack:1 core:4 pu:2", "4-7", "publisher=4,consumer=6");
    cr_assert_eq(cores.housekeeper, 4, "the publisher's");
    cores = choose_of("pack:1 core:4 pu:2", NULL, "publisher=0,consumer=2,housekeeper=7");
    cr_assert_eq(cores.housekeeper, 7);
}
