/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long backends take to answer, where question and answer both pass here: from a SYN of a new
 * flow to its SYN-ACK. What is under way is noted by the client's end, which both packets have; a
 * note that is lost or overwritten is a sample less.
 */
#pragma once

#include <bpf/bpf_helpers.h>
#include "choose.h"
#include "maps.h"
#include "parse.h"
#include "service.h"
#include "verify.h"

/*
 * A note in one word: backend, tag of the client's end, and when, in microseconds. Without a
 * backend it says that of several SYNs nobody knows which one is answered.
 */
#define NOTE_BACKEND(word) ((__u32)(word)&0x7fff)
#define NOTE_TAG	   0xffff8000ull
#define NOTE_TIME_SHIFT	   32

struct client_end {
	__u32 index;
	__u64 tag; /* in its place in the word; never 0 */
};

static __always_inline struct client_end client_end(const struct martlet_address *address,
						    __be16 port)
{
	__u64 fold = address->word[0] ^ address->word[1] ^ address->word[2] ^ address->word[3];
	__u64 mixed = (fold << 16 | port) * MARTLET_MIX_1;

	return (struct client_end){
		.index = (__u32)(mixed >> 52) & (MARTLET_NOTE_LIMIT - 1),
		.tag = (mixed & NOTE_TAG) | 1 << 15,
	};
}

static __always_inline __u32 microseconds_now(void)
{
	return (__u32)(bpf_ktime_get_ns() / 1000);
}

/* A SYN that comes again makes its note worthless, and so does each one after it. */
VERIFIED_ALONE int note_question(const struct packet *packet, __u32 backend)
{
	struct martlet_address address;
	struct client_end end;
	__u64 *note;

	if (!packet)
		return 0;
	address = source_of(packet);
	end = client_end(&address, source_port_of(packet));
	note = bpf_map_lookup_elem(&answer_notes, &end.index);
	if (!note)
		return 0;
	if (*note && (*note & NOTE_TAG) == end.tag)
		*note = end.tag;
	else
		*note = (__u64)microseconds_now() << NOTE_TIME_SHIFT | end.tag |
			NOTE_BACKEND(backend);
	return 0;
}

/*
 * Peak EWMA: at once as long as the longest, and then an eighth of the way to each shorter one; so
 * that trouble is noticed at once, and forgiven slowly.
 */
static __always_inline void take_latency(__u32 backend, __u32 sample)
{
	struct martlet_load *load = bpf_map_lookup_elem(&backend_loads, &backend);
	__u32 known;

	if (!load)
		return;
	known = load->latency;
	load->latency = sample >= known ? sample : known - (known - sample + 7) / 8;
}

static __noinline int take_answer(const struct martlet_address *client, __be16 port)
{
	struct client_end end = client_end(client, port);
	__u64 *note = bpf_map_lookup_elem(&answer_notes, &end.index);
	__u32 sample;
	__u64 word;

	if (!note)
		return 0;
	word = *(volatile __u64 *)note;
	if (!word || (word & NOTE_TAG) != end.tag)
		return 0;
	*note = 0;
	if (!NOTE_BACKEND(word))
		return 0;
	sample = microseconds_now() - (__u32)(word >> NOTE_TIME_SHIFT);
	/* After so long it is the answer to another question from there. */
	if (sample <= MOST_LATENCY)
		take_latency(NOTE_BACKEND(word), sample ? sample : 1);
	return 0;
}
