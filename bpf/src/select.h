/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which backend of a service has a flow: the flow's hash names a slot, the slot its owner. */
#pragma once

#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "parse.h"
#include "siphash.h"

struct selection {
	enum martlet_verdict verdict; /* MARTLET_UNDECIDED if there is a backend */
	__u32 id;
	const struct martlet_backend *backend;
};

static __always_inline __u64 hash_flow(const struct packet *packet, const __u64 key[2])
{
	return packet->family == 4 ? siphash(packet->flow.words, sizeof(packet->flow.v4) / 8, key) :
				     siphash(packet->flow.words, sizeof(packet->flow.v6) / 8, key);
}

static __always_inline struct selection select_backend(const struct martlet_service *service,
						       const struct packet *packet)
{
	struct selection broken = { .verdict = MARTLET_DROP_BROKEN_TABLE };
	const struct martlet_settings *setting;
	const struct martlet_backend *backend;
	const struct martlet_slot_pair *pair;
	__u32 zero = 0, service_id = service->id, slot, index, id;
	void *slots;

	setting = bpf_map_lookup_elem(&settings, &zero);
	slots = bpf_map_lookup_elem(&slot_tables, &service_id);
	if (!setting || !slots)
		return broken;

	slot = (__u32)hash_flow(packet, setting->hash_key) & service->slot_mask;
	index = slot / 2;
	pair = bpf_map_lookup_elem(slots, &index);
	if (!pair)
		return broken;

	id = *(const volatile __u32 *)&pair->word[slot & 1] & MARTLET_SLOT_OWNER;
	if (id == 0)
		return (struct selection){ .verdict = MARTLET_DROP_NO_BACKEND };

	backend = bpf_map_lookup_elem(&backends, &id);
	if (!backend || backend->service != service_id)
		return broken;
	return (struct selection){ .id = id, .backend = backend };
}
