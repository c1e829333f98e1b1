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
#include "cursor.h"
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
/* Added to the place of a flow that a CPU is making: whose it is can't be seen yet. */
#define NAT_MAKING			 (1u << 31)

/* Which bits of the hash say where a flow can be; the slot has the first sixteen. */
#define NAT_SHARE(hash)		      ((__u32)((hash) >> 16) & (MARTLET_NAT_SHARES - 1))
#define NAT_BUCKET_BITS(hash, choice) ((__u32)((hash) >> ((choice) ? 40 : 24)) & 0xffff)
#define NAT_TAG(hash)		      ((__u32)((hash) >> MARTLET_NAT_TAG_SHIFT))

/* 2^30 ns: fine enough for limits of minutes, and read without asking the hardware. */
static __always_inline __u32 nat_now(void)
{
	return (__u32)(bpf_ktime_get_coarse_ns() >> 30) & ((1u << MARTLET_NAT_TIME_BITS) - 1);
}

static __always_inline __u64 nat_word(__u32 tag, __u32 now, __u32 state)
{
	return (__u64)tag << MARTLET_NAT_TAG_SHIFT | (__u64)now << MARTLET_NAT_TIME_SHIFT | state;
}

static __always_inline __u32 nat_state(__u64 word)
{
	return (__u32)word & MARTLET_NAT_STATE;
}

/*
 * 1 if the port can be had, else 0. Without a branch: with one for each of eight ports the
 * verifier would go through 2^8 ways.
 */
static __always_inline __u64 is_nat_word_free(__u64 word, __u32 now)
{
	__u64 state = nat_state(word);
	__u64 used = (__u32)word >> MARTLET_NAT_TIME_SHIFT;
	__u64 age = (now - used) & ((1u << MARTLET_NAT_TIME_BITS) - 1);
	__u64 limit = (MARTLET_NAT_IDLE_LIMITS >> (state * 8) & 0xff) * MARTLET_NAT_IDLE_UNIT;

	return ((limit - age) | (state - 1)) >> 63;
}

static __always_inline struct martlet_nat_bucket *nat_bucket(__u32 address, __u32 index)
{
	void *table = bpf_map_lookup_elem(&nat_tables, &address);

	return table ? bpf_map_lookup_elem(table, &index) : NULL;
}

/* The first or the second bucket in which a flow with this hash can be. */
static __always_inline __u32 nat_bucket_index(__u64 hash, int choice)
{
	__u32 span = MARTLET_NAT_BUCKETS - MARTLET_NAT_FIRST_BUCKET;

	return MARTLET_NAT_FIRST_BUCKET + (NAT_BUCKET_BITS(hash, choice) * span >> 16);
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

/* Where in the bucket the flow is, or one that may be it, with NAT_MAKING; 0: nowhere. */
static __always_inline __u32 search_nat_bucket(__u32 address, __u32 index,
					       const struct packet *packet, __u32 tag)
{
	struct martlet_nat_bucket *bucket = nat_bucket(address, index);

	if (!bucket)
		return 0;
	for (__u32 lane = 0; lane < MARTLET_NAT_LANES; lane++) {
		__u64 word = *(const volatile __u64 *)&bucket->word[lane];

		if (nat_state(word) == MARTLET_NAT_FREE || NAT_TAG(word) != tag)
			continue;
		if (nat_state(word) == MARTLET_NAT_MAKING)
			return NAT_PLACE(address, index, lane) | NAT_MAKING;
		if ((nat_state(word) == MARTLET_NAT_DATAGRAMS) == is_udp_flow(packet) &&
		    is_nat_flow_of(&bucket->flow[lane], packet))
			return NAT_PLACE(address, index, lane);
	}
	return 0;
}

/* The same for both buckets of an address. */
VERIFIED_ALONE __u32 search_nat_address(__u32 address, const struct packet *packet, __u64 hash)
{
	__u32 place;

	if (!packet)
		return 0;
	place = search_nat_bucket(address, nat_bucket_index(hash, 0), packet, NAT_TAG(hash));
	if (place)
		return place;
	return search_nat_bucket(address, nat_bucket_index(hash, 1), packet, NAT_TAG(hash));
}

static __always_inline const struct martlet_nat_share *nat_share(const struct packet *packet,
								 __u64 hash)
{
	__u32 index = NAT_SHARE(hash) + (packet->family == 4 ? 0 : MARTLET_NAT_SHARES);

	return bpf_map_lookup_elem(&nat_shares, &index);
}

static __always_inline __u32 find_nat_flow(const struct martlet_nat_share *share,
					   const struct packet *packet, __u64 hash)
{
	__u32 place = share->owner ? search_nat_address(share->owner, packet, hash) : 0;

	if (place || !share->former)
		return place;
	return search_nat_address(share->former, packet, hash);
}

/* How many ports of the bucket can be had. */
static __always_inline __u64 count_free(const struct martlet_nat_bucket *bucket, __u32 now)
{
	__u64 count = 0;

	for (__u32 lane = 0; lane < MARTLET_NAT_LANES; lane++)
		count += is_nat_word_free(*(const volatile __u64 *)&bucket->word[lane], now);
	return count;
}

/* Gets hold of a port in this bucket: its place, or 0. The flow is being made from then on. */
static __always_inline __u32 claim_in_bucket(__u32 address, __u32 index, __u32 tag, __u32 now)
{
	struct martlet_nat_bucket *bucket = nat_bucket(address, index);
	__u64 making = nat_word(tag, now, MARTLET_NAT_MAKING);

	if (!bucket)
		return 0;
	for (__u32 lane = 0; lane < MARTLET_NAT_LANES; lane++) {
		__u64 word = *(const volatile __u64 *)&bucket->word[lane];

		if (is_nat_word_free(word, now) &&
		    __sync_val_compare_and_swap(&bucket->word[lane], word, making) == word)
			return NAT_PLACE(address, index, lane);
	}
	return 0;
}

/* In the emptier of its two buckets, so that they fill up evenly. */
VERIFIED_ALONE __u32 claim_port(__u32 address, __u64 hash)
{
	__u32 first = nat_bucket_index(hash, 0), second = nat_bucket_index(hash, 1);
	const struct martlet_nat_bucket *one = nat_bucket(address, first);
	const struct martlet_nat_bucket *other = nat_bucket(address, second);
	__u32 now = nat_now();

	if (!one || !other)
		return 0;
	if (count_free(other, now) > count_free(one, now))
		first = second;
	return claim_in_bucket(address, first, NAT_TAG(hash), now);
}

/* Where a flow stands, after a packet of its client or of its backend. */
static __always_inline __u32 next_nat_state(__u32 state, const struct packet *packet, int is_answer)
{
	if (state == MARTLET_NAT_DATAGRAMS)
		return state;
	if (packet->ends_flow)
		return MARTLET_NAT_CLOSING;
	if (is_answer)
		return state == MARTLET_NAT_OPENING ? MARTLET_NAT_ANSWERED : state;
	return state == MARTLET_NAT_ANSWERED ? MARTLET_NAT_ESTABLISHED : state;
}

/* One store a second and flow at most; another CPU that was quicker has said the same. */
static __always_inline void renew_nat_word(struct martlet_nat_bucket *bucket, __u32 lane,
					   __u32 state)
{
	__u64 word = *(const volatile __u64 *)&bucket->word[lane];
	__u64 renewed = nat_word(NAT_TAG(word), nat_now(), state);

	if (renewed != word)
		__sync_val_compare_and_swap(&bucket->word[lane], word, renewed);
}

/* The way back to where the frame came from, if that can be had; else egress 0. */
static __always_inline struct martlet_next_hop last_hop(struct xdp_md *context,
							const struct packet *packet)
{
	struct cursor cursor = cursor_of(context);
	const struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));
	__u32 interface = context->ingress_ifindex;
	struct martlet_next_hop hop = {};
	const __u32 *number;

	if (!ethernet || packet->link_bytes != sizeof(*ethernet))
		return hop;
	number = bpf_map_lookup_elem(&egress_numbers, &interface);
	if (!number)
		return hop;
	__builtin_memcpy(hop.mac, ethernet->h_source, ETH_ALEN);
	hop.egress = (__u16)*number;
	return hop;
}

static __always_inline int comes_from(struct xdp_md *context, const struct martlet_next_hop *hop)
{
	struct cursor cursor = cursor_of(context);
	const struct ethhdr *ethernet = take(&cursor, sizeof(*ethernet));

	return ethernet && !__builtin_memcmp(ethernet->h_source, hop->mac, ETH_ALEN);
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

/*
 * Takes a flow on: fills the choice and renews the flow. Returns whether the flow can go on: its
 * backend may be gone, or the client may have begun anew, which opens a flow like any other.
 */
static __always_inline int go_on(struct xdp_md *context, const struct packet *packet,
				 struct choice *choice, __u32 place)
{
	struct martlet_nat_bucket *bucket = nat_bucket(NAT_ADDRESS(place), NAT_BUCKET(place));
	const struct martlet_backend *backend;
	struct martlet_nat_flow *flow;
	__u32 id, state;

	if (!bucket)
		return 0;
	flow = &bucket->flow[NAT_LANE(place)];
	state = nat_state(bucket->word[NAT_LANE(place)]);
	id = flow->backend_id;
	backend = bpf_map_lookup_elem(&backends, &id);
	if (!backend || !is_flow_with(flow, backend, choice->service))
		return 0;
	if (packet->is_new_flow && (state == MARTLET_NAT_OPENING || state == MARTLET_NAT_CLOSING))
		return 0;
	choice->backend = id;
	choice->nat = place;
	if (packet->kind != PACKET_FLOW)
		return 1;
	renew_nat_word(bucket, NAT_LANE(place), next_nat_state(state, packet, 0));
	if (!comes_from(context, &flow->last_hop))
		flow->last_hop = last_hop(context, packet);
	return 1;
}

/* Gets hold of a flow's own port, to write it anew; returns whether it could. */
static __always_inline int claim_again(__u32 place, struct choice *choice)
{
	struct martlet_nat_bucket *bucket = nat_bucket(NAT_ADDRESS(place), NAT_BUCKET(place));
	__u32 lane = NAT_LANE(place);
	__u64 word, making = nat_word(NAT_TAG(choice->hash), nat_now(), MARTLET_NAT_MAKING);

	if (!bucket)
		return 0;
	choice->nat = place;
	word = *(const volatile __u64 *)&bucket->word[lane];
	return nat_state(word) != MARTLET_NAT_MAKING &&
	       __sync_val_compare_and_swap(&bucket->word[lane], word, making) == word;
}

/* Writes the flow at a place that is being made, and lets others find it. */
static __noinline enum martlet_verdict
write_nat_flow(struct xdp_md *context, const struct packet *packet, const struct choice *choice)
{
	struct martlet_nat_bucket *bucket =
		nat_bucket(NAT_ADDRESS(choice->nat), NAT_BUCKET(choice->nat));
	__u32 lane = NAT_LANE(choice->nat), id = choice->backend;
	const struct martlet_backend *backend;
	struct martlet_nat_flow *flow;

	if (!bucket)
		return MARTLET_DROP_BROKEN_TABLE;
	backend = bpf_map_lookup_elem(&backends, &id);
	if (!backend || backend->service != choice->service ||
	    backend->forwarding != MARTLET_FULL_NAT || backend->family != packet->family) {
		*(volatile __u64 *)&bucket->word[lane] = 0;
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
	flow->last_hop = last_hop(context, packet);
	/* An exchange and no store: all of the above comes before it, on every machine. */
	__sync_lock_test_and_set(
		&bucket->word[lane],
		nat_word(NAT_TAG(choice->hash), nat_now(),
			 is_udp_flow(packet) ? MARTLET_NAT_DATAGRAMS : MARTLET_NAT_OPENING));
	return MARTLET_UNDECIDED;
}

/* A port for a flow that has none: fills `nat` of the choice. */
static __always_inline enum martlet_verdict claim_place(const struct martlet_nat_share *share,
							const struct packet *packet,
							struct choice *choice)
{
	struct martlet_nat_bucket *bucket;
	__u32 place = share->owner ? claim_port(share->owner, choice->hash) : 0;

	if (!place)
		return MARTLET_DROP_NAT_EXHAUSTED;
	choice->nat = place;
	/*
	 * Another CPU may have found nothing, too, and have claimed a port for the same flow. Now
	 * each sees both: the one that comes first goes on, the other gives its port back.
	 */
	if ((search_nat_address(share->owner, packet, choice->hash) & ~NAT_MAKING) == place)
		return MARTLET_UNDECIDED;
	bucket = nat_bucket(NAT_ADDRESS(place), NAT_BUCKET(place));
	if (bucket)
		*(volatile __u64 *)&bucket->word[NAT_LANE(place)] = 0;
	return MARTLET_DROP_NAT_BUSY;
}

/* The backend that the flow has, or the one that its slot gives it. */
VERIFIED_ALONE enum martlet_verdict choose_nat_flow(struct xdp_md *context,
						    const struct martlet_service *service,
						    const struct packet *packet,
						    struct choice *choice)
{
	const struct martlet_nat_share *share;
	enum martlet_verdict verdict;
	__u32 place;

	if (!service || !packet || !choice)
		return MARTLET_DROP_BROKEN_TABLE;
	share = nat_share(packet, choice->hash);
	if (!share)
		return MARTLET_DROP_BROKEN_TABLE;
	place = find_nat_flow(share, packet, choice->hash);
	if (place & NAT_MAKING)
		return MARTLET_DROP_NAT_BUSY;
	if (place && go_on(context, packet, choice, place))
		return MARTLET_UNDECIDED;
	if (packet->kind != PACKET_FLOW || !(is_udp_flow(packet) || packet->is_new_flow))
		return MARTLET_DROP_NAT_NO_FLOW;
	verdict = choose_slot(service, choice);
	if (verdict != MARTLET_UNDECIDED)
		return verdict;
	if (!place)
		verdict = claim_place(share, packet, choice);
	else if (!claim_again(place, choice))
		verdict = MARTLET_DROP_NAT_BUSY;
	if (verdict != MARTLET_UNDECIDED)
		return verdict;
	return write_nat_flow(context, packet, choice);
}
