#include "config/document.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "config/nearest.h"

#define KEYS_MAX       64  /* keys of one mapping in a schema */
#define PATH_SHOWN_MAX 200 /* of a path, so that the sentence behind it is never cut */
#define QUOTED_MAX     60  /* of a value that is quoted in a sentence */

typedef struct words {
    char text[240];
} words;

hl_status hl_document_error(const hl_document *document, hl_place place, hl_error *error,
                            const char *format, ...)
{
    char sentence[sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    const size_t path_bytes = strlen(document->path);
    const bool cut = path_bytes > PATH_SHOWN_MAX;
    return hl_error_set(error, HL_BAD_INPUT, "%s%s:%zu:%zu: %s", cut ? "..." : "",
                        document->path + (cut ? path_bytes - PATH_SHOWN_MAX : 0), place.line,
                        place.column, sentence);
}

static hl_place place_of(yaml_mark_t mark)
{
    return (hl_place){mark.line + 1, mark.column + 1};
}

static yaml_node_t *node_of(const hl_document *document, int index)
{
    /* libyaml only reads the document, but its signature does not say so. */
    return yaml_document_get_node((yaml_document_t *)(uintptr_t)&document->tree, index);
}

static yaml_node_t *root_of(const hl_document *document)
{
    return node_of(document, 1);
}

/* What libyaml says of bytes that are no UTF-8 has an offset, but no line. */
static hl_place place_at_offset(const hl_document *document, size_t offset)
{
    hl_place place = {1, 1};
    for (size_t i = 0; i < offset && i < document->text_bytes; i++) {
        const unsigned char c = document->text[i];
        if (c == '\n') {
            place.line++;
            place.column = 1;
        } else if ((c & 0xc0) != 0x80) { /* not the inner byte of a character */
            place.column++;
        }
    }
    return place;
}

static hl_status parse_error(const hl_document *document, const yaml_parser_t *parser,
                             hl_error *error)
{
    switch (parser->error) {
    case YAML_MEMORY_ERROR:
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to read it", document->path);
    case YAML_READER_ERROR:
        return hl_document_error(document, place_at_offset(document, parser->problem_offset), error,
                                 "%s: save the file as UTF-8 text", parser->problem);
    default:
        return hl_document_error(
            document, place_of(parser->problem_mark), error, "not YAML: %s%s%s", parser->problem,
            parser->context != NULL ? " " : "", parser->context != NULL ? parser->context : "");
    }
}

/* A second document would be silently left out by libcyaml. */
static hl_status refuse_second_document(hl_document *document, yaml_parser_t *parser,
                                        hl_error *error)
{
    yaml_document_t second;
    if (yaml_parser_load(parser, &second) == 0)
        return parse_error(document, parser, error);
    const yaml_node_t *const root = yaml_document_get_root_node(&second);
    const hl_place place = root != NULL ? place_of(root->start_mark) : (hl_place){0, 0};
    yaml_document_delete(&second);
    if (place.line == 0)
        return HL_OK;
    return hl_document_error(document, place, error,
                             "a second document begins here: one file is one configuration");
}

static hl_status parse(hl_document *document, hl_error *error)
{
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0)
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to read it", document->path);
    yaml_parser_set_input_string(&parser, document->text, document->text_bytes);
    hl_status status;
    if (yaml_parser_load(&parser, &document->tree) == 0) {
        status = parse_error(document, &parser, error);
    } else {
        /* Past an empty stream there is nothing to ask for. */
        status = hl_document_is_empty(document) ? HL_OK
                                                : refuse_second_document(document, &parser, error);
        if (status != HL_OK)
            yaml_document_delete(&document->tree);
    }
    yaml_parser_delete(&parser);
    return status;
}

static hl_status read_text(hl_document *document, hl_error *error)
{
    FILE *const file = fopen(document->path, "rb");
    if (file == NULL)
        return hl_error_set(error, HL_SYSTEM, "%s: cannot be opened: %s", document->path,
                            strerror(errno));
    hl_status status = HL_OK;
    errno = 0;
    document->text_bytes = fread(document->text, 1, HL_DOCUMENT_MAX_BYTES + 1, file);
    if (ferror(file))
        status = hl_error_set(error, HL_SYSTEM, "%s: cannot be read: %s", document->path,
                              strerror(errno));
    else if (document->text_bytes > HL_DOCUMENT_MAX_BYTES)
        status = hl_error_set(error, HL_BAD_INPUT,
                              "%s: larger than 1 MiB: this is no configuration", document->path);
    fclose(file);
    return status;
}

hl_status hl_document_open(const char *path, hl_document *ret_document, hl_error *error)
{
    hl_document document = {.path = path};
    document.text = malloc(HL_DOCUMENT_MAX_BYTES + 1);
    if (document.text == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to read it", path);
    hl_status status = read_text(&document, error);
    if (status == HL_OK)
        status = parse(&document, error);
    if (status != HL_OK) {
        free(document.text);
        return status;
    }
    *ret_document = document;
    return HL_OK;
}

void hl_document_close(hl_document *document)
{
    yaml_document_delete(&document->tree);
    free(document->text);
}

bool hl_document_is_empty(const hl_document *document)
{
    return root_of(document) == NULL;
}

/* The check. Each function answers HL_OK or has filled `error`. */

static const char *scalar_of(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* What stands there, for a sentence. */
static words node_in_words(const yaml_node_t *node)
{
    words result;
    if (node->type == YAML_SEQUENCE_NODE)
        snprintf(result.text, sizeof result.text, "a list");
    else if (node->type == YAML_MAPPING_NODE)
        snprintf(result.text, sizeof result.text, "a mapping (`key: value`)");
    else if (node->data.scalar.length == 0)
        snprintf(result.text, sizeof result.text, "an empty value");
    else
        snprintf(result.text, sizeof result.text, "\"%.*s\"%s", QUOTED_MAX, scalar_of(node),
                 node->data.scalar.length > QUOTED_MAX ? "..." : "");
    return result;
}

/* What should stand there. */
static words schema_in_words(const cyaml_schema_value_t *schema)
{
    words result = {""};
    switch (schema->type) {
    case CYAML_UINT:
        snprintf(result.text, sizeof result.text, "a whole number in decimal digits");
        break;
    case CYAML_BOOL:
        snprintf(result.text, sizeof result.text, "true or false");
        break;
    case CYAML_ENUM:
        for (uint32_t i = 0; i < schema->enumeration.count; i++) {
            const size_t used = strlen(result.text);
            snprintf(result.text + used, sizeof result.text - used, "%s%s",
                     i == 0                              ? ""
                     : i + 1 < schema->enumeration.count ? ", "
                                                         : " or ",
                     schema->enumeration.strings[i].str);
        }
        break;
    case CYAML_SEQUENCE:
        snprintf(result.text, sizeof result.text, "a list, an item a line that begins with \"- \"");
        break;
    case CYAML_MAPPING:
        snprintf(result.text, sizeof result.text, "a mapping, a line each of `key: value`");
        break;
    default:
        snprintf(result.text, sizeof result.text, "text");
        break;
    }
    return result;
}

static hl_status mismatch(const hl_document *document, const yaml_node_t *node, const char *field,
                          const cyaml_schema_value_t *schema, hl_error *error)
{
    return hl_document_error(document, place_of(node->start_mark), error,
                             "%s: %s is not right here: use %s", field, node_in_words(node).text,
                             schema_in_words(schema).text);
}

static hl_status check_number(const hl_document *document, const yaml_node_t *node,
                              const char *field, const cyaml_schema_value_t *schema,
                              hl_error *error)
{
    const char *const text = scalar_of(node);
    const uint64_t most = schema->data_size >= 8 ? UINT64_MAX : UINT32_MAX;
    /* A leading zero is octal to libcyaml, decimal to everyone else. */
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0' ||
        (text[0] == '0' && text[1] != '\0'))
        return mismatch(document, node, field, schema, error);
    errno = 0;
    const unsigned long long value = strtoull(text, NULL, 10);
    if (errno == ERANGE || value > most)
        return hl_document_error(document, place_of(node->start_mark), error,
                                 "%s: %.*s is too large: use at most %" PRIu64, field, QUOTED_MAX,
                                 text, most);
    return HL_OK;
}

static hl_status check_enum(const hl_document *document, const yaml_node_t *node, const char *field,
                            const cyaml_schema_value_t *schema, hl_error *error)
{
    const char *names[KEYS_MAX];
    uint32_t count = 0;
    for (; count < schema->enumeration.count && count < KEYS_MAX; count++) {
        names[count] = schema->enumeration.strings[count].str;
        if (strcasecmp(scalar_of(node), names[count]) == 0)
            return HL_OK;
    }
    const char *const nearest = hl_nearest(scalar_of(node), names, count);
    if (nearest == NULL)
        return mismatch(document, node, field, schema, error);
    return hl_document_error(document, place_of(node->start_mark), error,
                             "%s: %s is none of its values: did you mean \"%s\"?", field,
                             node_in_words(node).text, nearest);
}

static hl_status check_scalar(const hl_document *document, const yaml_node_t *node,
                              const char *field, const cyaml_schema_value_t *schema,
                              hl_error *error)
{
    const char *const text = scalar_of(node);
    if (strlen(text) != node->data.scalar.length)
        return hl_document_error(document, place_of(node->start_mark), error,
                                 "%s: the text holds a zero byte: take it out", field);
    switch (schema->type) {
    case CYAML_UINT:
        return check_number(document, node, field, schema, error);
    case CYAML_ENUM:
        return check_enum(document, node, field, schema, error);
    case CYAML_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return mismatch(document, node, field, schema, error);
        return HL_OK;
    default:
        return HL_OK;
    }
}

static hl_status check_node(const hl_document *document, const yaml_node_t *node, const char *field,
                            const cyaml_schema_value_t *schema, hl_error *error);

static hl_status check_sequence(const hl_document *document, const yaml_node_t *node,
                                const char *field, const cyaml_schema_value_t *schema,
                                hl_error *error)
{
    const size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count < schema->sequence.min)
        return hl_document_error(document, place_of(node->start_mark), error,
                                 "%s: the list is empty: give it an item, or leave the key out",
                                 field);
    if (count > schema->sequence.max)
        return hl_document_error(document, place_of(node->start_mark), error,
                                 "%s: %zu items are too many: use at most %" PRIu32, field, count,
                                 schema->sequence.max);
    size_t index = 0;
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++, index++) {
        char entry[64];
        snprintf(entry, sizeof entry, "%s[%zu]", field, index);
        const hl_status status =
            check_node(document, node_of(document, *item), entry, schema->sequence.entry, error);
        if (status != HL_OK)
            return status;
    }
    return HL_OK;
}

static hl_status unknown_key(const hl_document *document, const yaml_node_t *key,
                             const cyaml_schema_field_t *fields, hl_error *error)
{
    const char *names[KEYS_MAX];
    char all[280] = "";
    bool is_whole = true; /* as long as all names fit into it */
    size_t count = 0;
    for (; fields[count].key != NULL && count < KEYS_MAX; count++) {
        static const char more[] = ", ... (all: examples/hotlane.yaml)";
        names[count] = fields[count].key;
        const size_t used = strlen(all);
        if (is_whole && used + strlen(names[count]) + sizeof ", " + sizeof more <= sizeof all) {
            snprintf(all + used, sizeof all - used, "%s%s", count == 0 ? "" : ", ", names[count]);
        } else if (is_whole) {
            strcat(all, more);
            is_whole = false;
        }
    }
    const char *const nearest = hl_nearest(scalar_of(key), names, count);
    if (nearest != NULL)
        return hl_document_error(document, place_of(key->start_mark), error,
                                 "unknown key %s: did you mean \"%s\"?", node_in_words(key).text,
                                 nearest);
    return hl_document_error(document, place_of(key->start_mark), error,
                             "unknown key %s: use one of %s", node_in_words(key).text, all);
}

static const cyaml_schema_field_t *field_of(const cyaml_schema_field_t *fields, const char *key)
{
    for (; fields->key != NULL; fields++) {
        if (strcmp(fields->key, key) == 0)
            return fields;
    }
    return NULL;
}

/* The earlier pair with the key of `pair`; NULL: it is the first. */
static const yaml_node_t *key_before(const hl_document *document, const yaml_node_t *node,
                                     const yaml_node_pair_t *pair)
{
    const char *const key = scalar_of(node_of(document, pair->key));
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *const earlier = node_of(document, p->key);
        if (strcmp(scalar_of(earlier), key) == 0)
            return earlier;
    }
    return NULL;
}

static hl_status check_pair(const hl_document *document, const yaml_node_t *node,
                            const yaml_node_pair_t *pair, const char *field,
                            const cyaml_schema_value_t *schema, hl_error *error)
{
    const yaml_node_t *const key = node_of(document, pair->key);
    if (key->type != YAML_SCALAR_NODE || strlen(scalar_of(key)) != key->data.scalar.length)
        return hl_document_error(document, place_of(key->start_mark), error,
                                 "a key is a plain word");
    const cyaml_schema_field_t *const known = field_of(schema->mapping.fields, scalar_of(key));
    if (known == NULL)
        return unknown_key(document, key, schema->mapping.fields, error);
    const yaml_node_t *const earlier = key_before(document, node, pair);
    if (earlier != NULL)
        return hl_document_error(document, place_of(key->start_mark), error,
                                 "\"%s\" is there twice, first in line %zu: keep one", known->key,
                                 place_of(earlier->start_mark).line);
    char path[128];
    snprintf(path, sizeof path, "%s%s%s", field, *field == '\0' ? "" : ".", known->key);
    return check_node(document, node_of(document, pair->value), path, &known->value, error);
}

static hl_status check_mapping(const hl_document *document, const yaml_node_t *node,
                               const char *field, const cyaml_schema_value_t *schema,
                               hl_error *error)
{
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const hl_status status = check_pair(document, node, pair, field, schema, error);
        if (status != HL_OK)
            return status;
    }
    for (const cyaml_schema_field_t *known = schema->mapping.fields; known->key != NULL; known++) {
        bool present = (known->value.flags & CYAML_FLAG_OPTIONAL) != 0;
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top && !present; pair++)
            present = strcmp(scalar_of(node_of(document, pair->key)), known->key) == 0;
        if (!present)
            return hl_document_error(document, place_of(node->start_mark), error,
                                     "%s: \"%s\" is missing: add it", field, known->key);
    }
    return HL_OK;
}

/* Recursion ends with the schema, which is no deeper than hl_config. */
static hl_status check_node(const hl_document *document, const yaml_node_t *node, const char *field,
                            const cyaml_schema_value_t *schema, hl_error *error)
{
    const yaml_node_type_t wanted = schema->type == CYAML_MAPPING    ? YAML_MAPPING_NODE
                                    : schema->type == CYAML_SEQUENCE ? YAML_SEQUENCE_NODE
                                                                     : YAML_SCALAR_NODE;
    if (node->type != wanted)
        return mismatch(document, node, *field == '\0' ? "the file" : field, schema, error);
    switch (wanted) {
    case YAML_MAPPING_NODE:
        return check_mapping(document, node, field, schema, error);
    case YAML_SEQUENCE_NODE:
        return check_sequence(document, node, field, schema, error);
    default:
        return check_scalar(document, node, field, schema, error);
    }
}

hl_status hl_document_check(const hl_document *document, const cyaml_schema_value_t *schema,
                            hl_error *error)
{
    return check_node(document, root_of(document), "", schema, error);
}

/* The child that the next step of the path names ("name", ".name", "[2]"); NULL: there is none. */
static const yaml_node_t *child_of(const hl_document *document, const yaml_node_t *node,
                                   const char **path)
{
    if (**path == '[') {
        char *end;
        const unsigned long index = strtoul(*path + 1, &end, 10);
        *path = *end == ']' ? end + 1 : end;
        if (node->type != YAML_SEQUENCE_NODE ||
            index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
            return NULL;
        return node_of(document, node->data.sequence.items.start[index]);
    }
    const char *const name = *path + (**path == '.');
    const size_t bytes = strcspn(name, ".[");
    *path = name + bytes;
    if (node->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *const key = node_of(document, pair->key);
        if (key->data.scalar.length == bytes && memcmp(scalar_of(key), name, bytes) == 0)
            return node_of(document, pair->value);
    }
    return NULL;
}

hl_place hl_document_place(const hl_document *document, const char *field)
{
    const yaml_node_t *node = root_of(document);
    if (node == NULL)
        return (hl_place){1, 1};
    for (const char *path = field; *path != '\0';) {
        const yaml_node_t *const child = child_of(document, node, &path);
        if (child == NULL)
            break;
        node = child;
    }
    return place_of(node->start_mark);
}
