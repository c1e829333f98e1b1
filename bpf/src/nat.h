/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flows of `full-nat`: which port of ours each has. A flow's hash names a NAT address and two
 * buckets of eight ports there. It is at one of these sixteen ports, or it is not known: there is
 * nothing else to search, and an answer finds it by the port it is sent to.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "choose.h"
#include "clock.h"
#include "cursor.h"
#include "frame.h"
#include "maps.h"
#include "parse.h"
#include "select.h"
#include "service.h"
#include "verify.h"

/* A place among the NAT flows: the number of the address, and the port. */
#define NAT_PLACE(address, bucket, lane) ((address) << 16 | (bucket)*MARTLET_NAT_LANES | (lane))
#define NAT_ADDRESS(place)		 ((place) >> 16)
#define NAT_BUCKET(place)		 (((place)&0xffff) / MARTLET_NAT_LANES)
#define NAT_LANE(place)			 ((place) & (MARTLET_NAT_LANES - 1))
/* So often a word is read again that others change meanwhile. */
#define NAT_TRIES			 4

/*
 * Which bits of the hash say where a flow can be; the slot has the first sixteen. The share is in
 * the tag, so that the word of a flow tells to which share it belongs.
 */
#define NAT_TAG(hash)		     ((__u32)((hash) >> MARTLET_NAT_TAG_SHIFT))
#define NAT_SHARE(hash)		     (NAT_TAG(hash) & (MARTLET_NAT_SHARES - 1))
#define NAT_BUCKET_BITS(hash, which) ((__u32)((hash) >> ((which) ? 40 : 16)) & 0xffff)

/* A search for a flow: what is looked for, and what was found. */
struct nat_search {
	__u64 hash;   /* of the flow */
	__u64 word;   /* of what was found */
	__u32 except; /* a place to pass over; 0: none */
};

static __always_inline __u64 nat_word(__u32 tag, __u32 now, __u32 state)
{
	return (__u64)tag << MARTLET_NAT_TAG_SHIFT | (__u64)now << MARTLET_NAT_TIME_SHIFT | state;
}

static __always_inline __u32 nat_state(__u64 word)
{
	return (__u32)word & MARTLET_NAT_STATE;
}

static __always_inline int is_taken(__u64 word)
{
	return nat_state(word) != MARTLET_NAT_FREE && nat_state(word) != MARTLET_NAT_MAKING;
}

static __always_inline int is_udp_state(__u64 word)
{
	return nat_state(word) >= MARTLET_NAT_ASKING;
}

/*
 * 1 if the port can be had, else 0. Without a branch: with one for each of eight ports the
 * verifier would go through 2^8 ways. A word from the future, written by a CPU that has read the
 * clock later, is of now.
 */
static __always_inline __u64 is_nat_word_free(__u64 word, __u32 now, __u64 limits)
{
	__u64 state = nat_state(word);
	__u64 used = (__u32)word >> MARTLET_NAT_TIME_SHIFT;
	__s64 age = (__s64)((now - used) << (64 - MARTLET_NAT_TIME_BITS)) >>
		    (64 - MARTLET_NAT_TIME_BITS);
	__s64 limit = (__s64)(limits >> (state * 8) & 0xff) * MARTLET_NAT_IDLE_UNIT;

	return (__u64)((limit - age) | ((__s64)state - 1)) >> 63;
}

static __always_inline struct martlet_nat_bucket *nat_bucket(__u32 address, __u32 index)
{
	void *table = bpf_map_lookup_elem(&nat_tables, &address);

	return table ? bpf_map_lookup_elem(table, &index) : NULL;
}

/* The first or the second bucket in which a flow with this hash can be. */
static __always_inline __u32 nat_bucket_index(__u64 hash, int which)
{
	__u32 span = MARTLET_NAT_BUCKETS - MARTLET_NAT_FIRST_BUCKET;

	return MARTLET_NAT_FIRST_BUCKET + (NAT_BUCKET_BITS(hash, which) * span >> 16);
}

static __always_inline int is_udp_flow(const struct packet *packet)
{
	return flow_protocol_of(packet) == IPPROTO_UDP;
}

static __always_inline int is_mapped(const struct martlet_address *address, __be32 ipv4)
{
	return address->word[3] == ipv4 && address->word[2] == bpf_htonl(0xffff) &&
	       !address->word[1] && !address->word[0];
}

static __always_inline int is_nat_flow_of(const struct martlet_nat_flow *flow,
					  const struct packet *packet)
{
	if (flow->client_port != source_port_of(packet) ||
	    flow->vip_port != destination_port_of(packet))
		return 0;
	if (packet->family == 4)
		return is_mapped(&flow->client, packet->flow.v4.source) &&
		       is_mapped(&flow->vip, packet->flow.v4.destination);
	return are_equal(&flow->client, &packet->flow.v6.source) &&
	       are_equal(&flow->vip, &packet->flow.v6.destination);
}

/*
 * Where in the bucket the flow is, or one that another CPU is making and that may be it; 0:
 * nowhere. What is at `except` is passed over. The word is as it was found.
 */
static __always_inline __u32 search_nat_bucket(__u32 address, __u32 index,
					       const struct packet *packet,
					       struct nat_search *search)
{
	struct martlet_nat_bucket *bucket = nat_bucket(address, index);

	if (!bucket)
		return 0;
	for (__u32 lane = 0; lane < MARTLET_NAT_LANES; lane++) {
		__u64 word = *(const volatile __u64 *)&bucket->word[lane];

		if (nat_state(word) == MARTLET_NAT_FREE || NAT_TAG(word) != NAT_TAG(search->hash))
			continue;
		if (NAT_PLACE(address, index, lane) == search->except)
			continue;
		search->word = word;
		if (nat_state(word) == MARTLET_NAT_MAKING)
			return NAT_PLACE(address, index, lane);
		if (is_udp_state(word) == is_udp_flow(packet) &&
		    is_nat_flow_of(after(&bucket->flow[lane], word ^ word), packet))
			return NAT_PLACE(address, index, lane);
	}
	return 0;
}

/* The same for both buckets of an address. */
VERIFIED_ALONE __u32 search_nat_address(__u32 address, const struct packet *packet,
					struct nat_search *search)
{
	__u32 place;

	if (!packet || !search || !address)
		return 0;
	place = search_nat_bucket(address, nat_bucket_index(search->hash, 0), packet, search);
	if (place)
		return place;
	return search_nat_bucket(address, nat_bucket_index(search->hash, 1), packet, search);
}

/* One reading of a share, whose owner the controller may make the former one at any moment. */
static __always_inline struct martlet_nat_share nat_share(const struct packet *packet, __u64 hash)
{
	__u32 index = NAT_SHARE(hash) + (packet->family == 4 ? 0 : MARTLET_NAT_SHARES);
	const volatile __u32 *word = bpf_map_lookup_elem(&nat_shares, &index);
	union {
		__u32 word;
		struct martlet_nat_share parts;
	} reading = {.word = word ? *word : 0};

	return reading.parts;
}

/* At the owner of the share, and where it was before. */
static __always_inline __u32 find_nat_flow(struct martlet_nat_share share,
					   const struct packet *packet, struct nat_search *search)
{
	__u32 place = search_nat_address(share.owner, packet, search);

	return place ? place : search_nat_address(share.former, packet, search);
}

/* How many ports of the bucket can be had. */
static __always_inline __u64 count_free(const struct martlet_nat_bucket *bucket, __u32 now,
					__u64 limits)
{
	__u64 count = 0;

	/* Unrolled it would need more of the stack than there is. */
#pragma clang loop unroll(disable)
	for (__u32 lane = 0; lane < MARTLET_NAT_LANES; lane++)
		count +=
			is_nat_word_free(*(const volatile __u64 *)&bucket->word[lane], now, limits);
	return count;
}

/* Gets hold of a port in this bucket: its place, or 0. The flow is being made from then on. */
static __always_inline __u32 claim_in_bucket(__u32 address, __u32 index, __u32 tag, __u32 now,
					     __u64 limits)
{
	struct martlet_nat_bucket *bucket = nat_bucket(address, index);
	__u64 making = nat_word(tag, now, MARTLET_NAT_MAKING);

	if (!bucket)
		return 0;
	for (__u32 lane = 0; lane < MARTLET_NAT_LANES; lane++) {
		__u64 word = *(const volatile __u64 *)&bucket->word[lane];

		if (is_nat_word_free(word, now, limits) &&
		    __sync_val_compare_and_swap(&bucket->word[lane], word, making) == word)
			return NAT_PLACE(address, index, lane);
	}
	return 0;
}

/* In the emptier of its two buckets, so that they fill up evenly. */
VERIFIED_ALONE __u32 claim_port(__u32 address, __u64 hash, __u64 limits)
{
	__u32 first = nat_bucket_index(hash, 0), second = nat_bucket_index(hash, 1);
	const struct martlet_nat_bucket *one = nat_bucket(address, first);
	const struct martlet_nat_bucket *other = nat_bucket(address, second);
	__u32 now = time_now();

	if (!one || !other)
		return 0;
	if (count_free(other, now, limits) > count_free(one, now, limits))
		first = second;
	return claim_in_bucket(address, first, NAT_TAG(hash), now, limits);
}

/* Where a flow stands, after a packet of its client or of its backend. */
static __always_inline __u32 next_nat_state(__u32 state, const struct packet *packet, int is_answer)
{
	if (state >= MARTLET_NAT_ASKING)
		return is_answer ? MARTLET_NAT_TALKING : state;
	if (packet->ends_flow)
		return MARTLET_NAT_CLOSING;
	if (state == MARTLET_NAT_OPENING && is_answer)
		return MARTLET_NAT_ANSWERED;
	if (state == MARTLET_NAT_ANSWERED && !is_answer && !packet->is_new_flow)
		return MARTLET_NAT_ESTABLISHED;
	return state;
}

/*
 * Moves a flow on from the word in which it was found. Returns 0 if there is another flow now, or
 * one that is being made: then what was read of it is worth nothing. One store a second and
 * flow, unless it changes its state; what a backend repeats to a client who may not exist
 * does not keep the flow alive.
 */
static __always_inline int renew_nat_word(__u64 *at, __u64 word, const struct packet *packet,
					  int is_answer, __u32 backend)
{
	for (int tries = 0; tries < NAT_TRIES; tries++) {
		__u32 state = next_nat_state(nat_state(word), packet, is_answer);
		int is_repeated = is_answer && state == MARTLET_NAT_ANSWERED &&
				  nat_state(word) == MARTLET_NAT_ANSWERED;
		__u64 renewed = is_repeated ? word : nat_word(NAT_TAG(word), time_now(), state);
		__u64 found = renewed == word ? *(const volatile __u64 *)at
					      : __sync_val_compare_and_swap(at, word, renewed);

		if (found == word) {
			if (state == MARTLET_NAT_CLOSING && state != nat_state(word))
				add_load(backend, -1u);
			return 1;
		}
		if (NAT_TAG(found) != NAT_TAG(word) || !is_taken(found))
			return 0;
		word = found;
	}
	return 0;
}

/* The way back to where the frame came from, if that can be had; else egress 0. */
static __always_inline union next_hop last_hop(struct xdp_md *context, const struct packet *packet)
{
	struct cursor cursor = cursor_of(context);
	const struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));
	__u32 interface = context->ingress_ifindex;
	union next_hop hop = {};
	const __u32 *number;

	if (!ethernet || packet->link_bytes != sizeof(*ethernet))
		return hop;
	number = bpf_map_lookup_elem(&egress_numbers, &interface);
	if (!number)
		return hop;
	__builtin_memcpy(hop.parts.mac, ethernet->h_source, ETH_ALEN);
	hop.parts.egress = (__u16)*number;
	return hop;
}

static __always_inline void remember_last_hop(struct xdp_md *context, const struct packet *packet,
					      struct martlet_nat_flow *flow)
{
	__u64 hop = last_hop(context, packet).word;
	volatile __u64 *known = (volatile __u64 *)&flow->last_hop;

	if (*known != hop)
		*known = hop;
}

/* As the NAT flows have addresses. */
static __always_inline struct martlet_address address_of(const struct martlet_backend *backend)
{
	return backend->family == 4 ? mapped(backend->address.word[0]) : backend->address;
}

static __always_inline int is_flow_with(const struct martlet_nat_flow *flow,
					const struct martlet_backend *backend, __u32 service)
{
	struct martlet_address address = address_of(backend);

	return backend->service == service && backend->forwarding == MARTLET_FULL_NAT &&
	       are_equal(&address, &flow->backend) &&
	       flow->backend_port == (backend->port ? backend->port : flow->vip_port);
}

/* A client who begins anew opens a flow like any other. */
static __always_inline int opens_anew(const struct packet *packet, __u64 word)
{
	return packet->is_new_flow &&
	       (nat_state(word) == MARTLET_NAT_OPENING || nat_state(word) == MARTLET_NAT_CLOSING);
}

/*
 * Takes a flow on that was found. MARTLET_DROP_NAT_NO_FLOW: it can't go on as it is, for its
 * backend is gone or it is opened anew. MARTLET_DROP_NAT_BUSY: it has just become another one.
 */
static __always_inline enum martlet_verdict
go_on(struct xdp_md *context, const struct packet *packet, struct choice *choice, __u64 word)
{
	struct martlet_nat_bucket *bucket =
		nat_bucket(NAT_ADDRESS(choice->nat), NAT_BUCKET(choice->nat));
	__u32 lane = NAT_LANE(choice->nat), id;
	const struct martlet_backend *backend;
	struct martlet_nat_flow *flow;

	if (!bucket)
		return MARTLET_DROP_BROKEN_TABLE;
	flow = &bucket->flow[lane];
	id = flow->backend_id;
	backend = bpf_map_lookup_elem(&backends, &id);
	if (!backend || !is_flow_with(flow, backend, choice->service) ||
	    opens_anew(packet, word) || is_lost(id))
		return MARTLET_DROP_NAT_NO_FLOW;
	choice->backend = id;
	if (packet->kind != PACKET_FLOW)
		return *(const volatile __u64 *)&bucket->word[lane] == word ? MARTLET_UNDECIDED
									    : MARTLET_DROP_NAT_BUSY;
	if (!renew_nat_word(&bucket->word[lane], word, packet, 0, id))
		return MARTLET_DROP_NAT_BUSY;
	remember_last_hop(context, packet, flow);
	return MARTLET_UNDECIDED;
}

/*
 * Gets hold of a flow's own port, to write it anew; returns whether it could. What was not yet
 * answered counts for the backend that it had no more: the one that it gets may be another.
 */
static __always_inline int claim_again(const struct choice *choice, __u64 word)
{
	struct martlet_nat_bucket *bucket =
		nat_bucket(NAT_ADDRESS(choice->nat), NAT_BUCKET(choice->nat));
	__u64 making = nat_word(NAT_TAG(choice->hash), time_now(), MARTLET_NAT_MAKING);
	__u32 lane = NAT_LANE(choice->nat);

	if (!bucket || __sync_val_compare_and_swap(&bucket->word[lane], word, making) != word)
		return 0;
	if (nat_state(word) == MARTLET_NAT_OPENING)
		add_load(bucket->flow[lane].backend_id, -1u);
	return 1;
}

static __always_inline void give_back(__u32 place)
{
	struct martlet_nat_bucket *bucket = nat_bucket(NAT_ADDRESS(place), NAT_BUCKET(place));

	if (bucket)
		*(volatile __u64 *)&bucket->word[NAT_LANE(place)] = 0;
}

/* Writes the flow at a place that is being made, and lets others find it. */
static __noinline enum martlet_verdict
write_nat_flow(struct xdp_md *context, const struct packet *packet, const struct choice *choice)
{
	struct martlet_nat_bucket *bucket =
		nat_bucket(NAT_ADDRESS(choice->nat), NAT_BUCKET(choice->nat));
	__u32 lane = NAT_LANE(choice->nat), id = choice->backend;
	const struct martlet_backend *backend = bpf_map_lookup_elem(&backends, &id);
	__u32 state = is_udp_flow(packet) ? MARTLET_NAT_ASKING : MARTLET_NAT_OPENING;
	struct martlet_nat_flow *flow;

	if (!bucket)
		return MARTLET_DROP_BROKEN_TABLE;
	if (!backend || backend->service != choice->service ||
	    backend->forwarding != MARTLET_FULL_NAT || backend->family != packet->family) {
		give_back(choice->nat);
		return MARTLET_DROP_BROKEN_TABLE;
	}
	flow = &bucket->flow[lane];
	flow->client = source_of(packet);
	flow->vip = destination_of(packet);
	flow->backend = address_of(backend);
	flow->client_port = source_port_of(packet);
	flow->vip_port = destination_port_of(packet);
	flow->backend_port = backend->port ? backend->port : flow->vip_port;
	flow->backend_id = (__u16)choice->backend;
	remember_last_hop(context, packet, flow);
	/* An exchange and no store: all of the above comes before it, on every machine. */
	__sync_lock_test_and_set(&bucket->word[lane],
				 nat_word(NAT_TAG(choice->hash), time_now(), state));
	return MARTLET_UNDECIDED;
}

/*
 * Whether the port that was claimed is the flow's only one. Another CPU may have found nothing,
 * too, and have claimed one for the same flow: now each sees both, and of two that are being made
 * the lower place goes on. A flow that was made meanwhile does in any case.
 */
static __always_inline int is_only_place(__u32 owner, const struct packet *packet, __u32 own,
					 struct nat_search *search)
{
	__u32 place;

	search->except = own;
	place = search_nat_address(owner, packet, search);
	return !place || (!is_taken(search->word) && place > own);
}

/* A port for a flow that has none: fills `nat` of the choice. */
static __always_inline enum martlet_verdict claim_place(__u32 owner, const struct packet *packet,
							struct choice *choice,
							struct nat_search *search)
{
	if (!owner)
		return MARTLET_DROP_NAT_EXHAUSTED;
	choice->nat = claim_port(owner, choice->hash, MARTLET_NAT_IDLE_LIMITS);
	if (!choice->nat)
		choice->nat = claim_port(owner, choice->hash, MARTLET_NAT_TIGHT_LIMITS);
	if (!choice->nat)
		return MARTLET_DROP_NAT_EXHAUSTED;
	if (is_only_place(owner, packet, choice->nat, search))
		return MARTLET_UNDECIDED;
	give_back(choice->nat);
	return MARTLET_DROP_NAT_BUSY;
}

/* The backend that the flow has. FLOW_BEGINS: it is to get one, and a port if `nat` names none. */
VERIFIED_ALONE enum martlet_verdict find_nat_backend(struct xdp_md *context,
						     const struct martlet_service *service,
						     const struct packet *packet,
						     struct choice *choice)
{
	struct nat_search search = {};
	enum martlet_verdict verdict;

	if (!service || !packet || !choice)
		return MARTLET_DROP_BROKEN_TABLE;
	search.hash = choice->hash;
	choice->nat = find_nat_flow(nat_share(packet, choice->hash), packet, &search);
	if (choice->nat) {
		if (!is_taken(search.word))
			return MARTLET_DROP_NAT_BUSY;
		verdict = go_on(context, packet, choice, search.word);
		if (verdict != MARTLET_DROP_NAT_NO_FLOW)
			return verdict;
	}
	if (packet->kind != PACKET_FLOW || !(is_udp_flow(packet) || packet->is_new_flow))
		return MARTLET_DROP_NAT_NO_FLOW;
	return find_slots(service, 0) ? FLOW_BEGINS : MARTLET_DROP_BROKEN_TABLE;
}

/* Opens the flow to the backend that was chosen, at its own port or at a new one. */
VERIFIED_ALONE enum martlet_verdict
open_nat_flow(struct xdp_md *context, const struct packet *packet, struct choice *choice)
{
	struct nat_search search = {};
	enum martlet_verdict verdict = MARTLET_UNDECIDED;
	struct martlet_nat_share share;

	if (!packet || !choice)
		return MARTLET_DROP_BROKEN_TABLE;
	share = nat_share(packet, choice->hash);
	search.hash = choice->hash;
	if (!choice->nat)
		verdict = claim_place(share.owner, packet, choice, &search);
	else if (find_nat_flow(share, packet, &search) != choice->nat || !is_taken(search.word) ||
		 !claim_again(choice, search.word))
		verdict = MARTLET_DROP_NAT_BUSY;
	if (verdict != MARTLET_UNDECIDED)
		return verdict;
	verdict = write_nat_flow(context, packet, choice);
	if (verdict == MARTLET_UNDECIDED)
		add_load(choice->backend, 1);
	return verdict;
}
