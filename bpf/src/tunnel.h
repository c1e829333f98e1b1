/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading the outer header of a tunnelled packet, and making sure that there is an inner one. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include "checksum.h"
#include "cursor.h"
#include "martlet_abi.h"

#define TUNNEL_FRAGMENT 0x3fff /* more fragments, or an offset: RFC 791 §3.1 */

struct tunnel {
	struct martlet_local_address destination;
	__u32 payload; /* bytes of the inner packet, by the word of the outer header */
	__u8 inner;    /* IPPROTO_IPIP or IPPROTO_IPV6 */
};

static __always_inline int is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6;
}

static __always_inline enum martlet_decapsulation parse_ipv4_tunnel(struct cursor *cursor,
								    struct tunnel *tunnel)
{
	const struct iphdr *ip = take(cursor, sizeof(*ip));

	if (!ip)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if (!is_tunnel(ip->protocol))
		return MARTLET_PASS_NOT_TUNNELLED;
	/* A balancer sends no options in the outer header; a packet that has some is another's. */
	if (ip->version == 4 && ip->ihl > 5)
		return MARTLET_PASS_NOT_TUNNELLED;
	if (ip->frag_off & bpf_htons(TUNNEL_FRAGMENT))
		return MARTLET_PASS_TUNNEL_FRAGMENT;
	if (ip->version != 4 || ip->ihl < 5 || bpf_ntohs(ip->tot_len) < sizeof(*ip) ||
	    ipv4_checksum(ip) != 0)
		return MARTLET_DROP_TUNNEL_MALFORMED;
	tunnel->destination.address.word[0] = ip->daddr;
	tunnel->destination.family = 4;
	tunnel->payload = bpf_ntohs(ip->tot_len) - sizeof(*ip);
	tunnel->inner = ip->protocol;
	return MARTLET_UNDECAPSULATED;
}

static __always_inline enum martlet_decapsulation parse_ipv6_tunnel(struct cursor *cursor,
								    struct tunnel *tunnel)
{
	const struct ipv6hdr *ip = take(cursor, sizeof(*ip));

	if (!ip)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if (!is_tunnel(ip->nexthdr))
		return MARTLET_PASS_NOT_TUNNELLED;
	if (ip->version != 6)
		return MARTLET_DROP_TUNNEL_MALFORMED;
	__builtin_memcpy(&tunnel->destination.address, &ip->daddr, sizeof(ip->daddr));
	tunnel->destination.family = 6;
	tunnel->payload = bpf_ntohs(ip->payload_len);
	tunnel->inner = ip->nexthdr;
	return MARTLET_UNDECAPSULATED;
}

/* Fills *tunnel, all zero before, or decides. */
static __always_inline enum martlet_decapsulation parse_tunnel(struct cursor *cursor,
							       struct tunnel *tunnel)
{
	const struct ethhdr *ethernet = take(cursor, sizeof(*ethernet));

	if (!ethernet)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP))
		return parse_ipv4_tunnel(cursor, tunnel);
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6_tunnel(cursor, tunnel);
	return MARTLET_PASS_NOT_TUNNELLED;
}

/* The inner packet is of the version that the outer header says, and whole. */
static __always_inline enum martlet_decapsulation check_inner(struct cursor *cursor,
							      const struct tunnel *tunnel)
{
	__u32 minimum = tunnel->inner == IPPROTO_IPIP ? sizeof(struct iphdr) :
							sizeof(struct ipv6hdr);
	void *start = cursor->at;
	const struct iphdr *ip = take(cursor, sizeof(*ip));

	if (!ip || tunnel->payload < minimum)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if ((__u32)(cursor->end - start) < tunnel->payload)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if (ip->version != (tunnel->inner == IPPROTO_IPIP ? 4 : 6))
		return MARTLET_DROP_TUNNEL_MALFORMED;
	return MARTLET_UNDECAPSULATED;
}
