/*
 * What lies on disk: docs/journal-format.md says the same for strangers. A segment is one file,
 *
 *     [header block, 4096 bytes][group [dictionary | event | gap | padding]...]...
 *     [rotation][footer][trailer]                       only once the segment is sealed
 *
 * All numbers are little-endian. Everything behind the header block is a record: a multiple of 8
 * bytes, at a multiple of 8, that begins with an hl_record_word {tag, crc}. `tag` is the record's
 * length in bytes, the word and the zero bytes of its padding included (bits 0 to 27), and its kind
 * (bits 28 to 31). `crc` is CRC-32C over the segment's salt (8 bytes), `tag` (4 bytes) and all that
 * follows the word up to the record's length: so a flipped bit of a length is found, and bytes of
 * another segment never pass. A tag of 0 is where nothing has been written yet.
 *
 * An event record is the event as it is in its slot, the word in place of `stamp`. Sequences go up
 * by one from event to event of a segment; where they do not, a gap record in between says why.
 *
 * Every run of records that is written at once begins with a group record. It is the resync mark:
 * `mark` and `offset` let a reader find it again behind damage, looking at every eighth byte. It
 * carries what was known to be durable before it was written, so that a bad record below
 * `durable_offset` of any later group is damage and not a torn tail.
 *
 * Pure functions of memory: any thread, no allocation, no system call.
 */
#ifndef HL_JOURNAL_FORMAT_H
#define HL_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <hotlane/event.h>
#include <hotlane/status.h>

#include "base/crc32c.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the journal's records are written as they lie in memory: little-endian machines only"
#endif

#define HL_JOURNAL_VERSION      1u
#define HL_JOURNAL_HEADER_SIZE  4096u               /* bytes; the first record begins here */
#define HL_JOURNAL_MAGIC        "\x89HLJ\r\n\x1a\n" /* 8 bytes; shows a text-mode copy at once */
#define HL_JOURNAL_GROUP_MARK   0x9d5c41e7a3b02f68u /* xor the salt: hl_group.mark */
#define HL_JOURNAL_TAIL_MARK    0xc62fb81d50e9734au /* xor the salt: hl_trailer.mark */
#define HL_JOURNAL_DOMAIN_SIZE  64u                 /* bytes of a domain's name with its NUL */
#define HL_JOURNAL_SEQUENCE_MAX (((uint64_t)1 << HL_ID_SEQUENCE_BITS) - 1) /* fits an id */
#define HL_JOURNAL_EVENT_MAX    (64u + 65536u) /* longest event record, bytes */
#define HL_JOURNAL_NAME_MAX     1024u          /* longest name in a dictionary record, bytes */
#define HL_JOURNAL_DETAIL_MAX   65536u         /* longest schema in a dictionary record, bytes */

/* Kinds of record: bits 28 to 31 of the tag. 8 to 15 are free; a reader refuses what it does not
 * know (its format version is newer). */
typedef enum hl_record_kind {
    HL_RECORD_EVENT = 0,      /* hl_event, payload */
    HL_RECORD_GROUP = 1,      /* hl_group */
    HL_RECORD_DICTIONARY = 2, /* hl_dictionary_record, name, detail */
    HL_RECORD_GAP = 3,        /* hl_gap */
    HL_RECORD_PADDING = 4,    /* word and zero bytes */
    HL_RECORD_ROTATION = 5,   /* hl_rotation */
    HL_RECORD_FOOTER = 6,     /* hl_footer and its tables */
    HL_RECORD_TRAILER = 7     /* hl_trailer: the last 64 bytes of a sealed segment */
} hl_record_kind;

#define HL_RECORD_LENGTH_MASK 0x0fffffffu
#define HL_RECORD_KIND_SHIFT  28

/* The first 8 bytes of every record. */
typedef struct hl_record_word {
    uint32_t tag; /* length and kind */
    uint32_t crc; /* CRC-32C: salt, tag, the rest of the record */
} hl_record_word;

/* hl_segment_header.flags */
#define HL_SEGMENT_AFTER_CRASH                                                                    \
    0x01u                           /* the run before ended unclean: first_sequence may lie above \
                                       previous_last_sequence + 1 */
#define HL_SEGMENT_ENCRYPTED  0x02u /* what follows the header block is cipher text */
#define HL_SEGMENT_COMPRESSED 0x04u /* what follows the header block is compressed */

/*
 * The header block: this struct, zero bytes, and in its last 4 bytes the CRC-32C of all before
 * them. Written and synced, and the file's name synced in its directory, before the first record.
 */
typedef struct hl_segment_header {
    uint8_t magic[8];
    uint32_t version;                 /* HL_JOURNAL_VERSION */
    uint32_t header_size;             /* HL_JOURNAL_HEADER_SIZE */
    uint32_t event_layout;            /* HL_EVENT_LAYOUT */
    uint32_t flags;                   /* HL_SEGMENT_... */
    uint64_t salt;                    /* differs from segment to segment; in every CRC behind it */
    uint8_t bus_uuid[16];             /* of the bus that this journal belongs to */
    uint32_t epoch;                   /* goes up by one when the number of shards changes */
    uint16_t partition;               /* of the bus: the upper 10 bits of an event's id */
    uint16_t shard;                   /* 0 to shards - 1 */
    uint16_t shards;                  /* of the domain in this epoch; 1: not sharded */
    uint16_t reserved;                /* 0 */
    uint32_t day;                     /* UTC, days since 1970-01-01: the date in the file's name */
    uint64_t number;                  /* of the segment in its directory, from 1 */
    uint64_t first_sequence;          /* of the first event, whether there is one yet or not */
    uint64_t previous_first_sequence; /* the segment before this one; 0: none was there */
    uint64_t previous_last_sequence;  /* the last sequence of all segments before; 0: none */
    uint64_t reserved_through;        /* no event above it was given out before a later mark */
    uint64_t created_ns;              /* ns since the Unix epoch, never below the segment before */
    uint64_t size_limit;              /* bytes that were preallocated */
    uint32_t cipher;                  /* 0: none; 1: XChaCha20-Poly1305 */
    uint32_t codec;                   /* 0: none; 1: zstd */
    uint64_t key_id;                  /* which key; 0: none */
    uint8_t nonce[24];                /* of the segment; 0 where cipher is 0 */
    char domain[HL_JOURNAL_DOMAIN_SIZE];
    char writer[64]; /* program and version, for people */
} hl_segment_header;

/* Begins every write; also alone, as the mark that all before it is durable. */
typedef struct hl_group {
    hl_record_word word;
    uint64_t mark;             /* HL_JOURNAL_GROUP_MARK xor salt */
    uint64_t offset;           /* of this record in its segment */
    uint64_t durable_offset;   /* bytes of this segment known durable when this was written */
    uint64_t durable_sequence; /* likewise the last sequence; may lie in an earlier segment */
    uint64_t reserved_through; /* no sequence above it has been given out */
    uint64_t last_sequence;    /* of the last event or gap before this group, in any segment */
    uint64_t written_ns;       /* wall clock, never below the group before */
    uint32_t size;             /* bytes of the group's records behind this one */
    uint32_t events;           /* event records among them */
} hl_group;

/* hl_dictionary_record.entry */
typedef enum hl_dictionary_entry {
    HL_DICTIONARY_TOPIC = 1,  /* number: hl_event.topic; detail: 2 bytes, kind and priority */
    HL_DICTIONARY_SOURCE = 2, /* number: hl_event.source */
    HL_DICTIONARY_SCHEMA = 3  /* number: topic, version: schema_version; name and detail: schema */
} hl_dictionary_entry;

/* Stands before the first event that uses the number. A number keeps its meaning in a segment. */
typedef struct hl_dictionary_record {
    hl_record_word word;
    uint16_t entry; /* hl_dictionary_entry */
    uint16_t version;
    uint32_t number;
    uint32_t name_size;   /* bytes, no NUL; right behind this struct */
    uint32_t detail_size; /* bytes; right behind the name */
} hl_dictionary_record;

/* hl_gap.reason */
#define HL_GAP_JOURNAL_OFF 1u /* the journal had failed or was full, the bus went on by policy */

/* Sequences that this journal does not hold, and says so. */
typedef struct hl_gap {
    hl_record_word word;
    uint64_t first_sequence; /* the one after the event before it */
    uint64_t last_sequence;
    uint32_t reason; /* HL_GAP_... */
    uint32_t reserved;
} hl_gap;

/*
 * "The next segment begins with next_sequence." When the process ended between this record and the
 * next segment's header, the next one begins above reserved_through instead. A reader goes by the
 * file with the smallest first sequence above this one's, whose header names this segment.
 */
typedef struct hl_rotation {
    hl_record_word word;
    uint64_t next_sequence;
    uint64_t last_sequence; /* of this segment or, if it is empty, of those before it */
    uint64_t reserved_through;
} hl_rotation;

/* hl_footer.flags */
#define HL_FOOTER_CLEAN     0x01u /* closed by its writer: no sequence beyond was given out */
#define HL_FOOTER_RECOVERED 0x02u /* written by a recovery, which may have cut a torn tail */
#define HL_FOOTER_DAMAGED   0x04u /* there was damage in the middle when it was written */

/*
 * Everything in it can be made again from the records before it. Behind the struct, in this order:
 * hl_footer_block[blocks]; uint64_t[dictionary_entries], offsets of the dictionary records in the
 * segment; hl_footer_topic[topics]; the blocks' Bloom filters, bloom_size bytes each (index.h).
 */
typedef struct hl_footer {
    hl_record_word word;
    uint32_t flags;
    uint32_t reserved;
    uint64_t events;
    uint64_t groups;
    uint64_t gaps;
    uint64_t first_sequence; /* of the first event, 0 where there is none */
    uint64_t last_sequence;  /* of the last event or gap; where there is none, of those before */
    uint64_t first_ns;       /* smallest published_ns; 0 where there is no event */
    uint64_t last_ns;        /* largest */
    uint64_t reserved_through;
    uint64_t payload_bytes;
    uint64_t records_end; /* offset behind the last group's records: of the rotation or footer */
    uint32_t blocks;
    uint32_t dictionary_entries;
    uint32_t topics;
    uint32_t bloom_size; /* bytes of one block's filter */
} hl_footer;

/* One for each run of about 64 KiB of records; in ascending order in all three. */
typedef struct hl_footer_block {
    uint64_t offset;   /* of the first event record in it */
    uint64_t sequence; /* of that event */
    uint64_t until_ns; /* largest published_ns of all events before it in the segment, 0: none */
} hl_footer_block;

typedef struct hl_footer_topic {
    uint32_t topic; /* by this segment's dictionary */
    uint32_t reserved;
    uint64_t events;
} hl_footer_topic;

/* The last 64 bytes of a sealed segment. */
typedef struct hl_trailer {
    hl_record_word word;
    uint64_t mark; /* HL_JOURNAL_TAIL_MARK xor salt */
    uint64_t footer_offset;
    uint64_t file_size;
    uint64_t reserved[4];
} hl_trailer;

_Static_assert(sizeof(hl_record_word) == 8, "takes the place of hl_event.stamp");
_Static_assert(offsetof(hl_event, sequence) == sizeof(hl_record_word), "stamp comes first");
_Static_assert(sizeof(hl_segment_header) == 288, "no hidden padding");
_Static_assert(sizeof(hl_group) == 72 && sizeof(hl_trailer) == 64 && sizeof(hl_gap) == 32, "");
_Static_assert(sizeof(hl_rotation) == 32 && sizeof(hl_dictionary_record) == 24, "");
_Static_assert(sizeof(hl_footer) == 112 && sizeof(hl_footer_block) == 24, "");

static inline uint32_t hl_record_length(hl_record_word word)
{
    return word.tag & HL_RECORD_LENGTH_MASK;
}

static inline hl_record_kind hl_record_kind_of(hl_record_word word)
{
    return (hl_record_kind)(word.tag >> HL_RECORD_KIND_SHIFT);
}

/* Bytes of a record with `size` bytes in it, the word included. */
static inline uint32_t hl_record_round(size_t size)
{
    return (uint32_t)((size + 7) & ~(size_t)7);
}

/* What each CRC of a segment begins with: the CRC of its salt. */
static inline uint32_t hl_record_seed(uint64_t salt)
{
    return hl_crc32c(0, &salt, sizeof salt);
}

/* The CRC that a record of this length (a multiple of 8, at least 8) should have. */
static inline uint32_t hl_record_crc(uint32_t seed, const void *record, uint32_t length)
{
    uint32_t tag;
    memcpy(&tag, record, sizeof tag);
    return hl_crc32c_words(seed, tag, (const uint8_t *)record + sizeof(hl_record_word),
                           length / sizeof(uint64_t) - 1);
}

/* Writes the word of a record whose other bytes are final, zero padding up to `length` included.
 * `length`: a multiple of 8, at least 8, at most HL_RECORD_LENGTH_MASK. */
void hl_record_finish(uint32_t seed, void *record, hl_record_kind kind, uint32_t length);

typedef enum hl_record_verdict {
    HL_RECORD_GOOD = 0,
    HL_RECORD_END,        /* the tag is 0: nothing was written here */
    HL_RECORD_SHORT,      /* longer than the bytes that are there: read more, or it is torn */
    HL_RECORD_BAD_LENGTH, /* no record of this kind has this length */
    HL_RECORD_BAD_CRC,
    HL_RECORD_BAD_FIELDS, /* the CRC is right, but a size in it is not: written by a defect */
    HL_RECORD_BAD_KIND    /* unknown: a newer format */
} hl_record_verdict;

/*
 * Looks at the record that begins at `bytes` (8-aligned), of which `available` bytes are in memory
 * (at least 8, or the answer is HL_RECORD_SHORT). Checks length, CRC, and that the sizes inside
 * fit the length: after HL_RECORD_GOOD each field may be used as it is. `offset` is that of the
 * record in its segment: a group record found at another place is not good. `salt` and `seed`
 * belong to the segment (seed = hl_record_seed(salt)).
 */
hl_record_verdict hl_record_check(uint64_t salt, uint32_t seed, const void *bytes,
                                  uint64_t available, uint64_t offset);

/* A word or two for a message: "bad CRC". Static memory. */
const char *hl_record_verdict_text(hl_record_verdict verdict);

/*
 * The offset in the segment of the first good group record in `bytes`, or UINT64_MAX. `bytes` are
 * `size` bytes of the segment from offset `at` (a multiple of 8) on. For going on behind damage.
 */
uint64_t hl_record_resync(uint64_t salt, uint32_t seed, const void *bytes, uint64_t size,
                          uint64_t at);

/* Writes HL_JOURNAL_HEADER_SIZE bytes: the header, zeros, the CRC. */
void hl_segment_header_encode(const hl_segment_header *header, void *ret_block);

/*
 * Reads a header block of HL_JOURNAL_HEADER_SIZE bytes. `place` (the file's path) begins each
 * sentence in `error` (may be NULL).
 * - HL_OK: *ret_header is filled, its strings are terminated.
 * - HL_UNSUPPORTED: another format version or event layout.
 * - HL_DAMAGED: no segment's magic, or the CRC is wrong.
 */
hl_status hl_segment_header_decode(const void *block, const char *place,
                                   hl_segment_header *ret_header, hl_error *error);

/* The tables behind a footer that hl_record_check found good. */
static inline const hl_footer_block *hl_footer_blocks(const hl_footer *footer)
{
    return (const hl_footer_block *)(footer + 1);
}
static inline const uint64_t *hl_footer_dictionary(const hl_footer *footer)
{
    return (const uint64_t *)(hl_footer_blocks(footer) + footer->blocks);
}
static inline const hl_footer_topic *hl_footer_topics(const hl_footer *footer)
{
    return (const hl_footer_topic *)(hl_footer_dictionary(footer) + footer->dictionary_entries);
}
static inline const uint8_t *hl_footer_blooms(const hl_footer *footer)
{
    return (const uint8_t *)(hl_footer_topics(footer) + footer->topics);
}

/* The length of a footer record with these tables; UINT64_MAX where it would overflow. */
uint64_t hl_footer_length(uint64_t blocks, uint64_t dictionary_entries, uint64_t topics,
                          uint64_t bloom_size);

#endif
