/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Giving the packets of a flow other ends: addresses, ports, and the checksums over them. */
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "checksum.h"
#include "cursor.h"
#include "martlet_abi.h"
#include "parse.h"
#include "reply.h"
#include "verify.h"

/* Addresses as the tries have them: IPv4 as ::ffff:a.b.c.d. */
struct ends {
	struct martlet_address source;
	struct martlet_address destination;
	__be16 source_port;
	__be16 destination_port;
	/* Whether errors of routers on the way seem to come from `source`, too. */
	__u16 hides_routers;
	/* Of IPv4 fragments: what the identification is changed by; 0: it stays. */
	__u16 identification;
};

static __always_inline __u64 change_address(struct martlet_address *address,
					    const struct martlet_address *to)
{
	__u64 changes = 0;

	for (int i = 0; i < 4; i++)
		changes += change_of(address->word[i], to->word[i]);
	*address = *to;
	return changes;
}

static __always_inline __u64 change_ports(struct ports *ports, __be16 source, __be16 destination)
{
	struct ports to = {source, destination};
	__u64 changes = change_of(*(__be32 *)ports, *(__be32 *)&to);

	*ports = to;
	return changes;
}

/*
 * Clients behind one source may use the same identification at the same time, by chance or on
 * purpose (RFC 6864 §5.3): each flow has its numbers changed in a way of its own.
 */
static __always_inline void change_identification(struct iphdr *ip, __u16 by)
{
	__be16 id = ip->id ^ by;

	ip->check = changed_checksum(ip->check, change_of(ip->id, id));
	ip->id = id;
}

/* Returns what the checksum of the transport has to take into account. */
static __always_inline __u64 change_ipv4(struct iphdr *ip, __be32 source, __be32 destination)
{
	__u64 changes = change_of(ip->saddr, source) + change_of(ip->daddr, destination);

	ip->saddr = source;
	ip->daddr = destination;
	ip->check = changed_checksum(ip->check, changes);
	return changes;
}

static __always_inline __u64 change_ipv6(struct ipv6hdr *ip, const struct martlet_address *source,
					 const struct martlet_address *destination)
{
	return change_address((struct martlet_address *)&ip->saddr, source) +
	       change_address((struct martlet_address *)&ip->daddr, destination);
}

/* 0 says that there is none, and 0xffff means 0: RFC 768. */
static __always_inline void change_udp_checksum(struct udphdr *udp, __u64 changes)
{
	if (!udp->check)
		return;
	udp->check = changed_checksum(udp->check, changes);
	if (!udp->check)
		udp->check = 0xffff;
}

/* The transport header at the cursor, after `changes` to the addresses. */
static __always_inline int change_transport(struct cursor *cursor, __u8 protocol, __u64 changes,
					    const struct ends *to)
{
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (protocol == IPPROTO_TCP) {
		tcp = take(cursor, sizeof(*tcp));
		if (!tcp)
			return 0;
		changes += change_ports((void *)tcp, to->source_port, to->destination_port);
		tcp->check = changed_checksum(tcp->check, changes);
		return 1;
	}
	udp = take(cursor, sizeof(*udp));
	if (!udp)
		return 0;
	changes += change_ports((void *)udp, to->source_port, to->destination_port);
	change_udp_checksum(udp, changes);
	return 1;
}

/*
 * The error at the cursor and the packet that it quotes, which went the other way; RFC 5508 §4.2.
 * `changes` are those of the outer addresses, which the checksum of ICMPv6 covers. The checksum of
 * a quoted TCP header stays: most errors do not quote that much, and no receiver looks at it.
 */
static __always_inline int change_error(struct cursor *cursor, const struct packet *packet,
					__u64 changes, const struct ends *to)
{
	struct icmp_header *icmp = take(cursor, sizeof(*icmp));
	void *start = cursor->at;
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;
	struct udphdr *udp;
	__u64 addresses, transport;
	__sum16 before;

	if (!icmp)
		return 0;
	if (packet->family == 4) {
		ipv4 = take(cursor, sizeof(*ipv4));
		if (!ipv4)
			return 0;
		before = ipv4->check;
		addresses = change_ipv4(ipv4, to->destination.word[3], to->source.word[3]);
		changes = addresses + change_of(before, ipv4->check);
	} else {
		ipv6 = take(cursor, sizeof(*ipv6));
		if (!ipv6)
			return 0;
		addresses = change_ipv6(ipv6, &to->destination, &to->source);
		changes += addresses;
	}
	cursor->at = start + (packet->quoted_bytes & 0x3f);
	udp = take(cursor, sizeof(*udp));
	if (!udp)
		return 0;
	transport = change_ports((void *)udp, to->destination_port, to->source_port);
	if (flow_protocol_of(packet) == IPPROTO_UDP) {
		before = udp->check;
		change_udp_checksum(udp, addresses + transport);
		transport += change_of(before, udp->check);
	}
	icmp->checksum = changed_checksum(icmp->checksum, changes + transport);
	return 1;
}

static __always_inline int change_payload(struct cursor *cursor, const struct packet *packet,
					  __u64 changes, const struct ends *to)
{
	if (packet->kind == PACKET_LATER_FRAGMENT)
		return 1;
	if (packet->kind == PACKET_ICMP_ERROR)
		return change_error(cursor, packet, changes, to);
	return change_transport(cursor, packet->protocol, changes, to);
}

/* An error may come from a router on the way, which stays its source unless it is to be hidden. */
static __always_inline int translate_ipv4(struct cursor *cursor, const struct packet *packet,
					  const struct ends *to, __u64 *changes)
{
	struct iphdr *ip = take(cursor, sizeof(*ip));

	if (!ip)
		return 0;
	*changes = change_ipv4(ip,
			       ip->saddr == packet->flow.v4.source || to->hides_routers
				       ? to->source.word[3]
				       : ip->saddr,
			       to->destination.word[3]);
	if (to->identification && (packet->is_first_fragment || packet->fragment_offset))
		change_identification(ip, to->identification);
	return 1;
}

static __always_inline int translate_ipv6(struct cursor *cursor, const struct packet *packet,
					  const struct ends *to, __u64 *changes)
{
	struct ipv6hdr *ip = take(cursor, sizeof(*ip));
	struct martlet_address *source;

	if (!ip)
		return 0;
	source = (void *)&ip->saddr;
	*changes = change_address((void *)&ip->daddr, &to->destination);
	if (are_equal(source, &packet->flow.v6.source) || to->hides_routers)
		*changes += change_address(source, &to->source);
	return 1;
}

/* Gives the packet, or the one that it quotes, these ends; returns whether it was all there. */
VERIFIED_ALONE int translate(struct xdp_md *context, const struct packet *packet,
			     const struct ends *to)
{
	struct cursor cursor = cursor_of(context);
	__u64 changes = 0;
	void *start;

	if (!packet || !to)
		return 0;
	cursor.at += packet->link_bytes & 0x1f;
	start = cursor.at;
	if (packet->family == 4) {
		if (!translate_ipv4(&cursor, packet, to, &changes))
			return 0;
	} else {
		if (!translate_ipv6(&cursor, packet, to, &changes))
			return 0;
	}
	cursor.at = start + (packet->header_bytes & 0x3fff);
	return change_payload(&cursor, packet, changes, to);
}
