/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which service a packet is for, and whether it is for a VIP at all. */
#pragma once

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "parse.h"

/* The address as the tries have it: IPv4 as ::ffff:a.b.c.d. */
static __always_inline struct martlet_address mapped(__be32 address)
{
	return (struct martlet_address){.word = {0, 0, bpf_htonl(0xffff), address}};
}

static __always_inline struct martlet_address destination_of(const struct packet *packet)
{
	return packet->family == 4 ? mapped(packet->flow.v4.destination)
				   : packet->flow.v6.destination;
}

static __always_inline struct martlet_address source_of(const struct packet *packet)
{
	return packet->family == 4 ? mapped(packet->flow.v4.source) : packet->flow.v6.source;
}

/*
 * `pointer`, for reading what was written before the word that `zero` was made from. Some CPUs
 * reorder two loads, unless the address of the second comes from the first: here it does, because
 * the compiler does not know that it adds 0.
 */
static __always_inline const void *after(const void *pointer, __u64 zero)
{
	barrier_var(zero);
	return pointer + zero;
}

/* One reading of what a key leads to, which the controller may replace at any moment. */
static __always_inline struct martlet_service read_service(const struct martlet_service *service)
{
	union {
		__u64 word;
		struct martlet_service parts;
	} reading = {.word = *(const volatile __u64 *)service};

	return reading.parts;
}

/* For a key that found no place in its bucket. */
static __noinline const struct martlet_service *find_overflown_v4(__u64 key)
{
	return bpf_map_lookup_elem(&services_v4, &key);
}

static __noinline const struct martlet_service *find_overflown_v6(__u64 high, __u64 low, __u64 port)
{
	__u64 key[3] = {high, low, port}; /* struct martlet_service_v6 and four bytes more */

	return bpf_map_lookup_elem(&services_v6, &key);
}

/* Of the words of an IPv4 flow the upper half of the first is the destination. */
static __always_inline const struct martlet_service *find_service_v4(const __u64 flow[2])
{
	__u64 key = flow[0] >> 32 | flow[1] >> 16 << 32; /* address, port, protocol */
	__u32 index = (__u32)(key * MARTLET_MIX_1 >> (64 - MARTLET_INDEX_BITS_V4));
	const struct martlet_bucket_v4 *bucket = bpf_map_lookup_elem(&service_index_v4, &index);

	if (!bucket)
		return NULL;
	for (int i = 0; i < MARTLET_PLACES_V4; i++) {
		const struct martlet_place_v4 *place = &bucket->place[i];
		__u64 difference = *(const volatile __u64 *)&place->key ^ key;

		if (difference == 0)
			return after(&place->service, difference);
	}
	if (bucket->place[0].service.flags & MARTLET_SERVICE_BUCKET_OVERFLOWS)
		return find_overflown_v4(key);
	return NULL;
}

static __always_inline const struct martlet_service *find_service_v6(const struct packet *packet)
{
	const __u64 *address = &packet->flow.words[2];
	__u64 port = packet->flow.words[4] >> 16; /* and protocol */
	__u64 hash = address[0] * MARTLET_MIX_1 + address[1] * MARTLET_MIX_2 + port * MARTLET_MIX_3;
	__u32 index = (__u32)(hash >> (64 - MARTLET_INDEX_BITS_V6));
	const struct martlet_bucket_v6 *bucket = bpf_map_lookup_elem(&service_index_v6, &index);

	if (!bucket)
		return NULL;
	for (int i = 0; i < MARTLET_PLACES_V6; i++) {
		const struct martlet_place_v6 *place = &bucket->place[i];
		__u64 difference = *(const volatile __u64 *)&place->port ^ port;

		if (difference != 0)
			continue;
		place = after(place, difference);
		if (place->address[0] == address[0] && place->address[1] == address[1])
			return &place->service;
	}
	if (bucket->place[0].service.flags & MARTLET_SERVICE_BUCKET_OVERFLOWS)
		return find_overflown_v6(address[0], address[1], port);
	return NULL;
}

/* The service of exactly the destination, its port and its protocol; NULL: there is none. */
static __always_inline const struct martlet_service *find_service(const struct packet *packet)
{
	return packet->family == 4 ? find_service_v4(packet->flow.words) : find_service_v6(packet);
}

/* Whether a VIP may have the destination; a no is certain. */
static __always_inline int may_be_vip(const struct packet *packet)
{
	const __be32 *word = packet->flow.v6.destination.word;
	__u32 fold = packet->family == 4 ? packet->flow.v4.destination
					 : word[0] ^ word[1] ^ word[2] ^ word[3];
	__u32 bit = (fold * 0x9e3779b1u) >> 16; /* 2^32 / golden ratio: Knuth 6.4 */
	__u32 index = bit / 64;
	const __u64 *bits = bpf_map_lookup_elem(&vip_filter, &index);

	return bits && *bits >> (bit % 64) & 1;
}

/* The most specific VIP that has the destination; NULL if none has. */
static __noinline const struct martlet_vip *find_vip(const struct packet *packet)
{
	struct martlet_vip_key key = {.prefix_bits = 128, .address = destination_of(packet)};

	return bpf_map_lookup_elem(&vips, &key);
}

/* The service of a VIP with this port, or with any. */
static __noinline const struct martlet_service *find_service_of(const struct martlet_vip *vip,
								const struct packet *packet)
{
	struct packet there = {
		.family = packet->family,
		.flow = packet->flow,
	};
	const struct martlet_service *service;

	if (there.family == 4)
		there.flow.v4.destination = vip->base.word[0];
	else
		there.flow.v6.destination = vip->base;
	service = find_service(&there);
	if (service)
		return service;
	if (there.family == 4)
		there.flow.v4.destination_port = 0;
	else
		there.flow.v6.destination_port = 0;
	return find_service(&there);
}

/* `verdict` if the packet is for a VIP. */
static __always_inline enum martlet_verdict if_for_vip(const struct packet *packet,
						       enum martlet_verdict verdict)
{
	return may_be_vip(packet) && find_vip(packet) ? verdict : MARTLET_PASS_NO_SERVICE;
}

/* Whether the access list of the service lets the client of the flow in. */
static __noinline int is_allowed(struct martlet_service service, const struct packet *packet)
{
	struct martlet_access_key key = {
		.prefix_bits = 32 + 128,
		.service = service.id,
		.source = source_of(packet),
	};
	const __u32 *word = bpf_map_lookup_elem(&access, &key);

	if (word)
		return *word == MARTLET_ACCESS_ALLOW;
	return !(service.flags & MARTLET_SERVICE_DENIES_OTHERS);
}
