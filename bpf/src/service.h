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

/* The service of exactly the destination, its port and its protocol. */
static __always_inline const struct martlet_service *find_service(const struct packet *packet)
{
	struct martlet_service_v6 v6;

	if (packet->family == 4) {
		struct martlet_service_v4 v4 = {
			.address = packet->flow.v4.destination,
			.port = packet->flow.v4.destination_port,
			.protocol = packet->flow.v4.protocol,
		};
		return bpf_map_lookup_elem(&services_v4, &v4);
	}
	v6 = (struct martlet_service_v6){
		.address = packet->flow.v6.destination,
		.port = packet->flow.v6.destination_port,
		.protocol = packet->flow.v6.protocol,
	};
	return bpf_map_lookup_elem(&services_v6, &v6);
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
static __noinline int is_allowed(const struct martlet_service *service, const struct packet *packet)
{
	struct martlet_access_key key = {
		.prefix_bits = 32 + 128,
		.service = service->id,
		.source = source_of(packet),
	};
	const __u32 *word = bpf_map_lookup_elem(&access, &key);

	if (word)
		return *word == MARTLET_ACCESS_ALLOW;
	return !(service->flags & MARTLET_SERVICE_DENIES_OTHERS);
}
