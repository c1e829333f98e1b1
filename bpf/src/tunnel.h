/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading the outer header of a tunnelled packet, and making sure that there is an inner one. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "checksum.h"
#include "cursor.h"
#include "martlet_abi.h"

#define TUNNEL_FRAGMENT 0x3fff /* more fragments, or an offset: RFC 791 §3.1 */

/* What a GUE header without options has before the packet: draft-ietf-intarea-gue-09 §3.2. */
struct gue {
	__u8 version; /* two bits, then a control bit and the length of the options: all 0 */
	__u8 protocol;
	__be16 flags;
};

struct tunnel {
	struct martlet_local_address destination;
	__u32 outer;   /* bytes of the outer headers */
	__u32 payload; /* bytes of the packet inside them, by their word */
	__u8 protocol; /* in the outer IP header; of what is inside once that is known */
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
	if (!is_tunnel(ip->protocol) && ip->protocol != IPPROTO_UDP)
		return MARTLET_PASS_NOT_TUNNELLED;
	/* A balancer sends no options in the outer header; a packet that has some is another's. */
	if (ip->version == 4 && ip->ihl > 5)
		return MARTLET_PASS_NOT_TUNNELLED;
	if (ip->frag_off & bpf_htons(TUNNEL_FRAGMENT))
		return is_tunnel(ip->protocol) ? MARTLET_PASS_TUNNEL_FRAGMENT
					       : MARTLET_PASS_NOT_TUNNELLED;
	if (ip->version != 4 || ip->ihl < 5 || bpf_ntohs(ip->tot_len) < sizeof(*ip) ||
	    ipv4_checksum(ip) != 0)
		return MARTLET_DROP_TUNNEL_MALFORMED;
	tunnel->destination.address.word[0] = ip->daddr;
	tunnel->destination.family = 4;
	tunnel->outer = sizeof(*ip);
	tunnel->payload = bpf_ntohs(ip->tot_len) - sizeof(*ip);
	tunnel->protocol = ip->protocol;
	return MARTLET_UNDECAPSULATED;
}

static __always_inline enum martlet_decapsulation parse_ipv6_tunnel(struct cursor *cursor,
								    struct tunnel *tunnel)
{
	const struct ipv6hdr *ip = take(cursor, sizeof(*ip));

	if (!ip)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if (!is_tunnel(ip->nexthdr) && ip->nexthdr != IPPROTO_UDP)
		return MARTLET_PASS_NOT_TUNNELLED;
	if (ip->version != 6)
		return MARTLET_DROP_TUNNEL_MALFORMED;
	__builtin_memcpy(&tunnel->destination.address, &ip->daddr, sizeof(ip->daddr));
	tunnel->destination.family = 6;
	tunnel->outer = sizeof(*ip);
	tunnel->payload = bpf_ntohs(ip->payload_len);
	tunnel->protocol = ip->nexthdr;
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

/*
 * Steps over the UDP header, and the GUE header of variant 0; in variant 1 the packet follows at
 * once, and its version tells that (§4). UDP for another port is none of our business.
 */
static __always_inline enum martlet_decapsulation parse_gue(struct cursor *cursor,
							    struct tunnel *tunnel, __be16 port)
{
	const struct udphdr *udp = take(cursor, sizeof(*udp));
	const struct gue *gue;
	void *start;

	if (!udp || port == 0 || udp->dest != port)
		return MARTLET_PASS_NOT_TUNNELLED;
	if (bpf_ntohs(udp->len) < sizeof(*udp) + sizeof(*gue) ||
	    bpf_ntohs(udp->len) > tunnel->payload)
		return MARTLET_DROP_TUNNEL_MALFORMED;
	tunnel->payload = bpf_ntohs(udp->len) - sizeof(*udp);
	tunnel->outer += sizeof(*udp);
	start = cursor->at;
	gue = take(cursor, sizeof(*gue));
	if (!gue)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if (gue->version >> 6 == 1) {
		cursor->at = start;
		tunnel->protocol = gue->version >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
		return MARTLET_UNDECAPSULATED;
	}
	if (gue->version != 0 || gue->flags != 0 || !is_tunnel(gue->protocol))
		return MARTLET_PASS_NOT_TUNNELLED;
	tunnel->payload -= sizeof(*gue);
	tunnel->outer += sizeof(*gue);
	tunnel->protocol = gue->protocol;
	return MARTLET_UNDECAPSULATED;
}

/* The inner packet is of the version that the outer header says, and whole. */
static __always_inline enum martlet_decapsulation check_inner(struct cursor *cursor,
							      const struct tunnel *tunnel)
{
	int is_ipv4 = tunnel->protocol == IPPROTO_IPIP;
	__u32 minimum = is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	void *start = cursor->at;
	const struct iphdr *ip = take(cursor, sizeof(*ip));

	if (!ip || tunnel->payload < minimum)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if ((__u32)(cursor->end - start) < tunnel->payload)
		return MARTLET_DROP_TUNNEL_TRUNCATED;
	if (ip->version != (is_ipv4 ? 4 : 6))
		return MARTLET_DROP_TUNNEL_MALFORMED;
	return MARTLET_UNDECAPSULATED;
}
