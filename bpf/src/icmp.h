/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP for a VIP: pings are answered, errors go to the backend whose flow they quote. */
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "cursor.h"
#include "parse.h"
#include "reply.h"
#include "service.h"
#include "verify.h"

/* RFC 792: destination unreachable, time exceeded, parameter problem. RFC 4443 §2.1: 1 to 4. */
static __always_inline int is_error(__u8 family, __u8 type)
{
	if (family == 4)
		return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETER_PROBLEM;
	return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
}

static __always_inline int is_echo_request(__u8 family, __u8 type)
{
	return type == (family == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST);
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* All of a transport header that an ICMP error has to quote. */
struct quoted_transport {
	struct ports ports;
	__u8 more[4];
};

/*
 * Reads the packet that an error quotes, `left` bytes of it, and returns the flow in `packet` as
 * its client sees it: the quoted packet was on its way from the VIP. Returns whether it could.
 */
static __always_inline int quote_ipv4(struct cursor *cursor, struct packet *packet, __u32 left)
{
	const struct iphdr *ip = take(cursor, sizeof(*ip));
	const struct quoted_transport *transport;
	__u32 header;

	if (!ip)
		return 0;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip) || left < header + sizeof(*transport))
		return 0;
	if (!has_ports(ip->protocol) || ip->frag_off & bpf_htons(IPV4_OFFSET) ||
	    ip->saddr != packet->flow.v4.destination)
		return 0;
	cursor->at += header - sizeof(*ip);
	transport = take(cursor, sizeof(*transport));
	if (!transport)
		return 0;
	packet->quoted_bytes = header;
	packet->flow.v4 = (struct martlet_flow_v4){
		.source = ip->daddr,
		.destination = ip->saddr,
		.source_port = transport->ports.destination,
		.destination_port = transport->ports.source,
		.protocol = ip->protocol,
	};
	return 1;
}

/* In a datagram sent in fragments (RFC 8200 §4.5) another header comes before the ports. */
static __always_inline int quote_ipv6(struct cursor *cursor, struct packet *packet, __u32 left)
{
	const struct ipv6hdr *ip = take(cursor, sizeof(*ip));
	const struct quoted_transport *transport;
	const struct extension *fragment;
	__u32 header = sizeof(*ip);
	__u8 protocol;

	if (!ip || ip->version != 6)
		return 0;
	protocol = ip->nexthdr;
	if (protocol == IPV6_FRAGMENT) {
		fragment = take(cursor, sizeof(*fragment));
		if (!fragment || fragment->fragment_offset & bpf_htons(IPV6_OFFSET))
			return 0;
		header += sizeof(*fragment);
		protocol = fragment->next;
	}
	if (!has_ports(protocol) || left < header + sizeof(*transport) ||
	    !are_equal((const void *)&ip->saddr, &packet->flow.v6.destination))
		return 0;
	transport = take(cursor, sizeof(*transport));
	if (!transport)
		return 0;
	packet->quoted_bytes = header;
	__builtin_memcpy(&packet->flow.v6.source, &ip->daddr, sizeof(ip->daddr));
	packet->flow.v6.source_port = transport->ports.destination;
	packet->flow.v6.destination_port = transport->ports.source;
	packet->flow.v6.protocol = protocol;
	return 1;
}

/* The verdict on ICMP that concerns no flow. */
static __always_inline enum martlet_verdict judge_echo(struct xdp_md *context,
						       const struct packet *packet)
{
	const struct martlet_vip *vip = may_be_vip(packet) ? find_vip(packet) : NULL;

	if (!vip)
		return MARTLET_PASS_NO_SERVICE;
	if (packet->is_martian)
		return MARTLET_DROP_MARTIAN;
	if (!(vip->flags & MARTLET_VIP_ANSWERS_ECHO))
		return MARTLET_PASS_ICMP;
	return reply_echo(context, packet);
}

/*
 * Decides on an ICMP packet, or makes of an error a packet of the flow that it quotes: then it is
 * a PACKET_ICMP_ERROR and undecided.
 */
VERIFIED_ALONE enum martlet_verdict look_into_icmp(struct xdp_md *context, struct packet *packet)
{
	struct cursor cursor = cursor_of(context);
	const struct icmp_header *icmp;
	__u32 left;

	if (!packet)
		return MARTLET_DROP_BROKEN_TABLE;
	if (packet->is_first_fragment)
		return if_for_vip(packet, MARTLET_DROP_FRAGMENT);
	cursor.at += (packet->link_bytes & 0x1f) + (packet->header_bytes & 0x3fff);
	icmp = take(&cursor, sizeof(*icmp));
	if (!icmp)
		return MARTLET_DROP_TRUNCATED;
	if (is_echo_request(packet->family, icmp->type))
		return judge_echo(context, packet);
	left = packet->ip_bytes - packet->header_bytes - sizeof(*icmp);
	if (is_error(packet->family, icmp->type) &&
	    (packet->family == 4 ? quote_ipv4(&cursor, packet, left)
				 : quote_ipv6(&cursor, packet, left))) {
		packet->kind = PACKET_ICMP_ERROR;
		return MARTLET_UNDECIDED;
	}
	return if_for_vip(packet, MARTLET_PASS_ICMP);
}
