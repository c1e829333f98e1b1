/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which backend gets a new flow, and which one has a flow of a slot that changed hands. */
#pragma once

#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include "flows.h"
#include "maps.h"
#include "parse.h"
#include "select.h"
#include "verify.h"

/* Instead of a backend: there are some, but they have as many flows as they may. */
#define ALL_FULL     (1u << 31)
/* Makes of a hash another one, as good: 2^64 divided by the golden ratio (Knuth 6.4). */
#define NEXT_GROUP   0x9e3779b97f4a7c15ull
/* What counts of a latency and of flows, so that no product of a cost exceeds 64 bits. */
#define MOST_LATENCY ((1u << 22) - 1)
#define MOST_FLOWS   ((1u << 25) - 1)

/* The owner of a slot; 0: nobody. */
static __always_inline __u32 owner_of(const struct martlet_service *service, __u32 slot)
{
	const struct martlet_slot_pair *pair = find_slots(service, slot / 2);

	return pair ? word_of(pair, slot) & MARTLET_SLOT_OWNER : 0;
}

/* The controller sets the number right while packets count: for a moment it may be below 0. */
static __always_inline __u32 open_flows(const struct martlet_load *load)
{
	__u32 flows = *(const volatile __u32 *)&load->flows;

	return flows >> 31 ? 0 : flows;
}

static __always_inline int is_full(const struct martlet_load *load)
{
	__u32 limit = load->limit;

	return limit && open_flows(load) >= limit;
}

static __always_inline __u64 no_more_than(__u64 most, __u64 value)
{
	return value < most ? value : most;
}

/* Latency times flows: the cost before it is divided by the weight. */
static __always_inline __u64 burden(const struct martlet_load *load)
{
	__u64 latency = load->latency ? load->latency : 1;

	return no_more_than(MOST_LATENCY, latency) * no_more_than(MOST_FLOWS, open_flows(load) + 1);
}

/*
 * Of the slots in the cache line of `slot`, from that one on and round: the first whose owner can
 * take a flow, or the first with the lowest cost.
 */
VERIFIED_ALONE __u32 choose_in_group(const struct martlet_service *service, __u32 slot)
{
	__u64 lowest = 0, weight_of_lowest = 0;
	__u32 best = 0, full = 0;

	if (!service)
		return 0;
	for (__u32 i = 0; i < MARTLET_SLOT_GROUP; i++) {
		__u32 lane = (slot + i) & (MARTLET_SLOT_GROUP - 1);
		__u32 at = ((slot & ~(MARTLET_SLOT_GROUP - 1u)) | lane) & service->slot_mask;
		__u32 owner = owner_of(service, at);
		const struct martlet_load *load = bpf_map_lookup_elem(&backend_loads, &owner);
		__u64 cost, weight;

		if (!owner || !load)
			continue;
		if (is_full(load)) {
			full = ALL_FULL;
			continue;
		}
		if (!(service->flags & MARTLET_SERVICE_LEAST_COST))
			return owner;
		cost = burden(load);
		weight = load->weight ? load->weight : 1;
		if (best && cost * weight_of_lowest >= lowest * weight)
			continue;
		best = owner;
		lowest = cost;
		weight_of_lowest = weight;
	}
	return best ? best : full;
}

/*
 * The flow's cache line of slots, and as long as all in it are full another one: one backend of
 * three that has room is in none of eight once in 10^12 flows, one of ten once in 10^6.
 */
static __always_inline __u32 choose_by_hash(const struct martlet_service *service, __u64 slot_hash)
{
	__u32 chosen = choose_in_group(service, (__u32)slot_hash);

	if (chosen != ALL_FULL)
		return chosen;
#pragma clang loop unroll(disable)
	for (__u32 i = 1; i < MARTLET_SLOT_GROUPS; i++) {
		slot_hash *= NEXT_GROUP;
		chosen = choose_in_group(service, (__u32)(slot_hash >> 32));
		if (chosen && chosen != ALL_FULL)
			return chosen;
	}
	return ALL_FULL;
}

/* The next one whose turn it is, and those after it if it is full. */
VERIFIED_ALONE __u32 choose_by_turn(const struct martlet_service *service)
{
	struct martlet_turns *turn;
	__u32 id, full = 0;
	__u64 taken, length;

	if (!service)
		return 0;
	id = service->id;
	turn = bpf_map_lookup_elem(&turns, &id);
	if (!turn)
		return 0;
	length = turn->length ? turn->length : (__u64)service->slot_mask + 1;
	taken = __sync_fetch_and_add(&turn->taken, 1);
	for (__u32 i = 0; i < 2 * MARTLET_SLOT_GROUP; i++) {
		__u32 slot = (__u32)((taken + i) % length) & service->slot_mask;
		__u32 owner = owner_of(service, slot);
		const struct martlet_load *load = bpf_map_lookup_elem(&backend_loads, &owner);

		if (!owner || !load)
			continue;
		if (!is_full(load))
			return owner;
		full = ALL_FULL;
	}
	return full;
}

static __always_inline __u32 choose_by_scheduler(const struct martlet_service *service,
						 __u64 slot_hash)
{
	return service->flags & MARTLET_SERVICE_ROUND_ROBIN ? choose_by_turn(service)
							    : choose_by_hash(service, slot_hash);
}

/* Whether a client who has affinity to the backend may have one more flow there. */
static __always_inline int takes_more(__u32 backend)
{
	const struct martlet_load *load = bpf_map_lookup_elem(&backend_loads, &backend);

	return load && !(load->flags & MARTLET_LOAD_CLOSED) && !is_full(load);
}

/* Whether its flows can't live. */
static __always_inline int is_lost(__u32 backend)
{
	const struct martlet_load *load = bpf_map_lookup_elem(&backend_loads, &backend);

	return load && load->flags & MARTLET_LOAD_LOST;
}

/* The backend that the client of the flow has already, or a new one, which is remembered. */
static __always_inline __u32 choose_by_client(const struct martlet_service *service,
					      __u64 slot_hash)
{
	struct flow_search search = {
		.hash = slot_hash,
		.slot = (__u32)slot_hash & service->slot_mask,
		.service = service->id,
	};
	int is_known = find_flow(&search, 1);
	__u32 chosen = flow_backend(search.word);
	__u64 word;

	if (!is_known || !takes_more(chosen)) {
		chosen = choose_by_scheduler(service, slot_hash);
		if (!chosen || chosen == ALL_FULL)
			return chosen;
	}
	word = flow_word(search.hash, search.slot, MARTLET_FLOW_AFFINITY, chosen);
	if (!is_known)
		make_flow(search.hash, search.slot, MARTLET_FLOW_AFFINITY, chosen);
	else if (word != search.word)
		replace_flow(&search, word);
	return chosen;
}

/* A backend for a new flow. */
VERIFIED_ALONE enum martlet_verdict choose_backend(const struct martlet_service *service,
						   struct choice *choice, __u64 slot_hash)
{
	__u32 by_table = MARTLET_SERVICE_ROUND_ROBIN | MARTLET_SERVICE_LEAST_COST, chosen;

	if (!service || !choice)
		return MARTLET_DROP_BROKEN_TABLE;
	chosen = service->flags & MARTLET_SERVICE_CLIENT_AFFINITY && service->flags & by_table
			 ? choose_by_client(service, slot_hash)
			 : choose_by_scheduler(service, slot_hash);
	if (chosen == ALL_FULL)
		return MARTLET_DROP_BACKENDS_FULL;
	choice->backend = chosen;
	return chosen ? MARTLET_UNDECIDED : MARTLET_DROP_NO_BACKEND;
}

static __always_inline int is_frozen(void)
{
	__u32 zero = 0;
	const struct martlet_settings *setting = bpf_map_lookup_elem(&settings, &zero);

	return setting && setting->flags & MARTLET_SETTING_FROZEN;
}

/*
 * Not a verdict: a new flow, for which a backend is to be chosen. What may follow is called one
 * after the other and not one by the other: the stack would not do.
 */
#define FLOW_BEGINS MARTLET_VERDICT_COUNT

/* A flow without an entry: where it goes if it needs none, which is where it may not stay. */
static __always_inline enum martlet_verdict pass_on(const struct martlet_service *service,
						    const struct packet *packet,
						    struct choice *choice, __u32 word,
						    __u64 slot_hash)
{
	__u32 owner = word & MARTLET_SLOT_OWNER;
	__u32 former = (word & MARTLET_SLOT_FORMER) >> MARTLET_SLOT_FORMER_SHIFT;
	__u32 fallback = former ? former : owner;
	int begins = packet->is_new_flow || (service->flags & MARTLET_SERVICE_TRACKS &&
					     flow_protocol_of(packet) == IPPROTO_UDP);

	choice->backend = fallback;
	if (packet->kind == PACKET_FLOW && begins) {
		if (!is_frozen())
			return FLOW_BEGINS;
		count_flow_event(MARTLET_FLOW_FROZEN);
	} else if (packet->kind == PACKET_FLOW && word & MARTLET_SLOT_PIN && fallback &&
		   fallback != owner) {
		make_flow(choice->hash, (__u32)slot_hash & service->slot_mask,
			  packet->ends_flow ? MARTLET_FLOW_CLOSING : MARTLET_FLOW_ESTABLISHED,
			  fallback);
	}
	return fallback ? MARTLET_UNDECIDED : MARTLET_DROP_NO_BACKEND;
}

/* The backend of a flow that may have an entry. `word` is that of its slot. */
VERIFIED_ALONE enum martlet_verdict find_backend(const struct martlet_service *service,
						 const struct packet *packet, struct choice *choice,
						 __u32 word, __u64 slot_hash)
{
	struct flow_search search = {};
	int begins_anew;

	if (!service || !packet || !choice)
		return MARTLET_DROP_BROKEN_TABLE;
	search.hash = choice->hash;
	search.slot = (__u32)slot_hash & service->slot_mask;
	search.service = choice->service;
	if (!find_flow(&search, 0))
		return pass_on(service, packet, choice, word, slot_hash);
	begins_anew = packet->kind == PACKET_FLOW && packet->is_new_flow &&
		      flow_state(search.word) == MARTLET_FLOW_CLOSING;
	if (begins_anew) {
		replace_flow(&search, 0);
		return pass_on(service, packet, choice, word, slot_hash);
	}
	if (packet->kind == PACKET_FLOW)
		renew_flow(&search, packet);
	choice->backend = flow_backend(search.word);
	return MARTLET_UNDECIDED;
}

/* Remembers the choice for a new flow, unless it goes to `fallback`, or, without room, has to. */
static __always_inline enum martlet_verdict record_flow(const struct martlet_service *service,
							const struct packet *packet,
							struct choice *choice, __u64 slot_hash,
							__u32 fallback)
{
	__u32 state = flow_protocol_of(packet) == IPPROTO_UDP ? MARTLET_FLOW_DATAGRAMS
							      : MARTLET_FLOW_HALF_OPEN;

	if (choice->backend == fallback && !(service->flags & MARTLET_SERVICE_TRACKS))
		return MARTLET_UNDECIDED;
	if (make_flow(choice->hash, (__u32)slot_hash & service->slot_mask, state, choice->backend))
		return MARTLET_UNDECIDED;
	choice->backend = fallback;
	return fallback ? MARTLET_UNDECIDED : MARTLET_DROP_NO_BACKEND;
}

/* The backend of a flow, or of the flow that an ICMP error is about: the slot's owner, mostly. */
static __always_inline enum martlet_verdict choose_slot(const struct martlet_service *service,
							const struct packet *packet,
							struct choice *choice, __u64 slot_hash)
{
	__u32 slot = (__u32)slot_hash & service->slot_mask, word;
	const struct martlet_slot_pair *pair = find_slots(service, slot / 2);

	if (!pair)
		return MARTLET_DROP_BROKEN_TABLE;
	word = word_of(pair, slot);
	if (word & MARTLET_SLOT_LOOK || service->flags & MARTLET_SERVICE_TRACKS)
		return find_backend(service, packet, choice, word, slot_hash);
	choice->backend = word & MARTLET_SLOT_OWNER;
	return choice->backend ? MARTLET_UNDECIDED : MARTLET_DROP_NO_BACKEND;
}
