/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which backend of a service has a flow: the flow's hash names a slot, the slot its owner. */
#pragma once

#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "parse.h"
#include "siphash.h"

/* Where a packet is to go. */
struct choice {
	__u64 hash; /* of the flow */
	__u32 service;
	__u32 backend;
	__u32 nat; /* the flow's place among the NAT flows; 0: it has none */
};

static __always_inline __u64 hash_flow(const struct packet *packet, const __u64 key[2])
{
	return packet->family == 4 ? siphash(packet->flow.words, MARTLET_FLOW_BYTES_V4, key)
				   : siphash(packet->flow.words, MARTLET_FLOW_BYTES_V6, key);
}

/* A function by itself: else clang makes one look-up of both, and the kernel a call of that. */
static __noinline const struct martlet_slot_pair *find_small_slots(__u32 service, __u32 index)
{
	void *slots = bpf_map_lookup_elem(&small_slot_tables, &service);

	return slots ? bpf_map_lookup_elem(slots, &index) : NULL;
}

static __always_inline const struct martlet_slot_pair *
find_slots(const struct martlet_service *service, __u32 index)
{
	__u32 id = service->id;
	void *slots;

	if (service->slot_mask != MARTLET_SLOTS - 1)
		return find_small_slots(id, index);
	slots = bpf_map_lookup_elem(&slot_tables, &id);
	return slots ? bpf_map_lookup_elem(slots, &index) : NULL;
}

/* By the hash of the flow, which is in `choice`. */
static __always_inline enum martlet_verdict choose_slot(const struct martlet_service *service,
							struct choice *choice)
{
	const struct martlet_slot_pair *pair;
	__u32 slot = (__u32)choice->hash & service->slot_mask;

	pair = find_slots(service, slot / 2);
	if (!pair)
		return MARTLET_DROP_BROKEN_TABLE;

	choice->backend = *(const volatile __u32 *)&pair->word[slot & 1] & MARTLET_SLOT_OWNER;
	return choice->backend ? MARTLET_UNDECIDED : MARTLET_DROP_NO_BACKEND;
}
