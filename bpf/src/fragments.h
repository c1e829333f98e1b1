/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Later fragments have no ports: they follow the first one. */
#pragma once

#include <linux/in.h>
#include <linux/tcp.h>
#include <bpf/bpf_helpers.h>
#include "clock.h"
#include "maps.h"
#include "parse.h"
#include "select.h"
#include "service.h"
#include "verify.h"

static __always_inline struct martlet_fragment_key fragment_key(const struct packet *packet)
{
	return (struct martlet_fragment_key){
		.source = source_of(packet),
		.destination = destination_of(packet),
		.identification = packet->fragment,
		.protocol = packet->family == 4 ? packet->protocol : 0,
		.family = packet->family,
	};
}

static __noinline int remember_fragment(const struct packet *packet, const struct choice *choice)
{
	struct martlet_fragment_key key = fragment_key(packet);
	struct martlet_fragment fragment = {
		.service = choice->service,
		.backend = choice->backend,
		.hash = choice->hash,
		.nat = choice->nat,
		.left = time_now(),
	};

	/* Without room the later ones are lost, and counted as such. */
	return (int)bpf_map_update_elem(&fragments, &key, &fragment, BPF_ANY);
}

/* An identification comes again (RFC 791 §3.2): then the note is about another packet. */
static __always_inline int is_stale(const struct martlet_fragment *fragment)
{
	__u32 age = time_now() - fragment->left;

	return (age & ((1u << MARTLET_NAT_TIME_BITS) - 1)) > MARTLET_FRAGMENT_AGE;
}

/* RFC 1858 §3.1: it would overwrite what the first one was judged by. */
static __always_inline int overwrites_header(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP && packet->fragment_offset < sizeof(struct tcphdr);
}

VERIFIED_ALONE enum martlet_verdict follow_first_fragment(const struct packet *packet,
							  struct choice *choice)
{
	struct martlet_fragment_key key;
	const struct martlet_fragment *first;

	if (!packet || !choice)
		return MARTLET_DROP_BROKEN_TABLE;
	key = fragment_key(packet);
	if (if_for_vip(packet, MARTLET_UNDECIDED) != MARTLET_UNDECIDED)
		return MARTLET_PASS_NO_SERVICE;
	if (packet->is_martian)
		return MARTLET_DROP_MARTIAN;
	if (overwrites_header(packet))
		return MARTLET_DROP_FRAGMENT_OVERLAP;
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || !first->service || is_stale(first))
		return MARTLET_DROP_FRAGMENT;
	choice->service = first->service;
	choice->backend = first->backend;
	choice->hash = first->hash;
	choice->nat = first->nat;
	return MARTLET_UNDECIDED;
}
