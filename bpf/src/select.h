/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The slot of a flow: a hash names it, and its word the backends that have its flows. */
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

/* The hash of all flows of the client to this service. */
static __noinline __u64 hash_client(const struct packet *packet, const __u64 key[2])
{
	struct packet any_port = {.family = packet->family, .flow = packet->flow};

	if (any_port.family == 4)
		any_port.flow.v4.source_port = 0;
	else
		any_port.flow.v6.source_port = 0;
	return hash_flow(&any_port, key);
}

static __always_inline __u32 word_of(const struct martlet_slot_pair *pair, __u32 slot)
{
	return *(const volatile __u32 *)&pair->word[slot & 1];
}
