/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: which backend has a flow that is not where its slot says. A flow's hash names two
 * buckets of eight entries; it is at one of these sixteen places, or it is not known.
 */
#pragma once

#include <bpf/bpf_helpers.h>
#include "clock.h"
#include "maps.h"
#include "parse.h"
#include "verify.h"

/* What is looked for, and where it was found. */
struct flow_search {
	__u64 hash;
	__u32 slot;
	__u32 service;
	__u32 bucket;
	__u32 lane;
	__u64 word;
};

/* What a flow is known by. */
static __always_inline __u64 flow_identity(__u64 hash, __u32 slot)
{
	return (hash & MARTLET_FLOW_FINGERPRINT) | (__u64)slot << MARTLET_FLOW_SLOT_SHIFT;
}

static __always_inline __u64 flow_word(__u64 hash, __u32 slot, __u32 state, __u32 backend)
{
	return flow_identity(hash, slot) | (__u64)epoch_now() << MARTLET_FLOW_EPOCH_SHIFT |
	       (__u64)state << MARTLET_FLOW_STATE_SHIFT | backend;
}

static __always_inline __u32 flow_state(__u64 word)
{
	return (__u32)((word & MARTLET_FLOW_STATE) >> MARTLET_FLOW_STATE_SHIFT);
}

static __always_inline __u32 flow_backend(__u64 word)
{
	return (__u32)(word & MARTLET_FLOW_BACKEND);
}

static __always_inline __u32 flow_mask(void)
{
	__u32 zero = 0;
	const struct martlet_settings *setting = bpf_map_lookup_elem(&settings, &zero);

	return setting ? setting->flow_mask & (MARTLET_FLOW_BUCKETS - 1) : 0;
}

/* Each bucket leads to the other one: so an entry can be found from what it is, wherever it is. */
static __always_inline __u32 other_bucket(__u32 bucket, __u64 hash, __u32 mask)
{
	__u32 fingerprint = (__u32)(hash >> MARTLET_FLOW_FINGERPRINT_SHIFT);

	return (bucket ^ (fingerprint * MARTLET_FLOW_MIX >> 8 | 1)) & mask;
}

static __always_inline __u32 first_bucket(__u64 hash, __u32 mask)
{
	return (__u32)(hash >> MARTLET_FLOW_BUCKET_SHIFT) & mask;
}

static __always_inline void count_flow_event(__u32 event)
{
	__u64 *counter = bpf_map_lookup_elem(&flow_counters, &event);

	if (counter)
		*counter += 1;
}

/* What several CPUs count, and the controller sets right. */
static __always_inline void add_load(__u32 backend, __u32 flows)
{
	struct martlet_load *load = bpf_map_lookup_elem(&backend_loads, &backend);

	if (load)
		__sync_fetch_and_add(&load->flows, flows);
}

static __always_inline int is_of_service(__u64 word, __u32 service)
{
	__u32 id = flow_backend(word);
	const struct martlet_backend *backend = bpf_map_lookup_elem(&backends, &id);

	return backend && backend->service == service;
}

static __always_inline int search_bucket(struct flow_search *search, __u32 index, int is_affinity)
{
	const __u64 mask = MARTLET_FLOW_FINGERPRINT | MARTLET_FLOW_SLOT;
	__u64 wanted = flow_identity(search->hash, search->slot);
	struct martlet_flow_bucket *bucket = bpf_map_lookup_elem(&flows, &index);

	if (!bucket)
		return 0;
	for (__u32 lane = 0; lane < MARTLET_FLOW_LANES; lane++) {
		__u64 word = *(const volatile __u64 *)&bucket->word[lane];

		if ((word ^ wanted) & mask || !flow_state(word))
			continue;
		if ((flow_state(word) == MARTLET_FLOW_AFFINITY) != is_affinity ||
		    !is_of_service(word, search->service))
			continue;
		search->bucket = index;
		search->lane = lane;
		search->word = word;
		return 1;
	}
	return 0;
}

/* Returns whether the flow, or the client, has an entry, and which. */
VERIFIED_ALONE int find_flow(struct flow_search *search, int is_affinity)
{
	__u32 mask = flow_mask(), first;

	if (!search)
		return 0;
	first = first_bucket(search->hash, mask);
	return search_bucket(search, first, is_affinity) ||
	       search_bucket(search, other_bucket(first, search->hash, mask), is_affinity);
}

/* Puts `word` in the place of what was found; returns whether that was still there. */
static __always_inline int replace_flow(const struct flow_search *search, __u64 word)
{
	__u32 index = search->bucket;
	struct martlet_flow_bucket *bucket = bpf_map_lookup_elem(&flows, &index);

	if (!bucket)
		return 0;
	return __sync_val_compare_and_swap(&bucket->word[search->lane & (MARTLET_FLOW_LANES - 1)],
					   search->word, word) == search->word;
}

/* How many places of the bucket are free. Without a branch: see is_nat_word_free. */
static __always_inline __u32 count_free_lanes(const struct martlet_flow_bucket *bucket)
{
	__u32 count = 0;

#pragma clang loop unroll(disable)
	for (__u32 lane = 0; lane < MARTLET_FLOW_LANES; lane++) {
		__u64 state = flow_state(*(const volatile __u64 *)&bucket->word[lane]);

		count += (__u32)((state - 1) >> 63);
	}
	return count;
}

/*
 * Whether an entry makes room for an established flow: one that nobody has confirmed, that is over,
 * or that is no flow. Those states are the odd ones.
 */
static __always_inline __u32 makes_room(__u64 word)
{
	_Static_assert(MARTLET_FLOW_HALF_OPEN & 1 && MARTLET_FLOW_CLOSING & 1 &&
			       MARTLET_FLOW_AFFINITY & 1 && !(MARTLET_FLOW_ESTABLISHED & 1) &&
			       !(MARTLET_FLOW_DATAGRAMS & 1) && !(MARTLET_FLOW_FREE & 1),
		       "this bit tells them from the others");
	return flow_state(word) & 1;
}

static __always_inline __u32 count_victims(const struct martlet_flow_bucket *bucket)
{
	__u32 count = 0;

#pragma clang loop unroll(disable)
	for (__u32 lane = 0; lane < MARTLET_FLOW_LANES; lane++)
		count += makes_room(*(const volatile __u64 *)&bucket->word[lane]);
	return count;
}

static __always_inline int fill_free_lane(struct martlet_flow_bucket *bucket, __u64 word)
{
	for (__u32 lane = 0; lane < MARTLET_FLOW_LANES; lane++)
		if (!*(const volatile __u64 *)&bucket->word[lane] &&
		    __sync_val_compare_and_swap(&bucket->word[lane], 0, word) == 0)
			return 1;
	return 0;
}

/* In the place of the first of them. */
static __always_inline int evict(struct martlet_flow_bucket *bucket, __u64 word)
{
	for (__u32 lane = 0; lane < MARTLET_FLOW_LANES; lane++) {
		__u64 victim = *(const volatile __u64 *)&bucket->word[lane];

		if (!makes_room(victim))
			continue;
		if (__sync_val_compare_and_swap(&bucket->word[lane], victim, word) != victim)
			continue;
		if (flow_state(victim) == MARTLET_FLOW_HALF_OPEN)
			add_load(flow_backend(victim), -1u);
		return 1;
	}
	return 0;
}

static __always_inline enum martlet_flow_event put_flow(__u64 hash, __u64 word)
{
	__u32 mask = flow_mask();
	__u32 first = first_bucket(hash, mask), second = other_bucket(first, hash, mask);
	struct martlet_flow_bucket *one = bpf_map_lookup_elem(&flows, &first);
	struct martlet_flow_bucket *other = bpf_map_lookup_elem(&flows, &second);

	if (!one || !other)
		return MARTLET_FLOW_REFUSED;
	if (fill_free_lane(count_free_lanes(other) > count_free_lanes(one) ? other : one, word))
		return MARTLET_FLOW_MADE;
	/*
	 * No flood of SYNs gets anything by this: its flows are half-open. And it does not make
	 * established ones crowd in one bucket while the other has few.
	 */
	if (flow_state(word) == MARTLET_FLOW_ESTABLISHED &&
	    evict(count_victims(other) > count_victims(one) ? other : one, word))
		return MARTLET_FLOW_EVICTED;
	return MARTLET_FLOW_REFUSED;
}

/* Makes an entry; returns whether there was room. */
VERIFIED_ALONE int make_flow(__u64 hash, __u32 slot, __u32 state, __u32 backend)
{
	enum martlet_flow_event event = put_flow(hash, flow_word(hash, slot, state, backend));

	count_flow_event(event);
	if (event == MARTLET_FLOW_REFUSED)
		return 0;
	if (state != MARTLET_FLOW_AFFINITY && state != MARTLET_FLOW_CLOSING)
		add_load(backend, 1);
	return 1;
}

/*
 * Has the entry live on after a packet of its client. One store in 8 s and flow, unless it changes
 * its state; if another CPU has changed it meanwhile, the next packet will do.
 */
static __always_inline void renew_flow(const struct flow_search *search,
				       const struct packet *packet)
{
	__u32 state = flow_state(search->word);
	__u32 next = packet->ends_flow ? MARTLET_FLOW_CLOSING
		     : state == MARTLET_FLOW_HALF_OPEN && !packet->is_new_flow
			     ? MARTLET_FLOW_ESTABLISHED
			     : state;
	__u64 word = flow_word(search->hash, search->slot, next, flow_backend(search->word));

	if (word == search->word || !replace_flow(search, word))
		return;
	if (next == MARTLET_FLOW_CLOSING && state != MARTLET_FLOW_CLOSING)
		add_load(flow_backend(word), -1u);
}
