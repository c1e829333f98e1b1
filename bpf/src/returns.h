/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers of the backends of the NAT modes, on their way to the client: what is for no VIP may be
 * one of them.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "forward.h"
#include "fragments.h"
#include "maps.h"
#include "nat.h"
#include "parse.h"
#include "reply.h"
#include "service.h"
#include "timing.h"
#include "translate.h"
#include "verify.h"

#define SOCKET_INET  2 /* AF_INET and AF_INET6; <sys/socket.h> is libc's */
#define SOCKET_INET6 10

/* What becomes of an answer. */
struct answer {
	struct ends ends;
	union next_hop way;	 /* to the client; egress 0: the kernel is asked */
	__u32 nat;		 /* the flow's place among the NAT flows; 0: it has none */
	__u32 tag;		 /* of that flow */
	__u32 mtu;		 /* of the kernel's way, if that is too small; else 0 */
	struct link_header link; /* of the frame that it leaves in */
};

/* Where the answer at hand is kept: the stack has no room for it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct answer);
} answer_at_hand SEC(".maps");

/* Of `full-nat`: the flow that is at this place, if that is the backend's which answers. */
static __always_inline enum martlet_verdict answer_at(const struct packet *packet, __u32 place,
						      struct answer *answer)
{
	struct martlet_nat_bucket *bucket = nat_bucket(NAT_ADDRESS(place), NAT_BUCKET(place));
	struct martlet_address source = source_of(packet);
	const struct martlet_nat_flow *flow;
	__u64 word, *at;

	if (!bucket)
		return MARTLET_PASS_NAT_ADDRESS;
	at = &bucket->word[NAT_LANE(place)];
	word = *(const volatile __u64 *)at;
	flow = after(&bucket->flow[NAT_LANE(place)], word ^ word);
	if (nat_state(word) == MARTLET_NAT_MAKING)
		return MARTLET_DROP_NAT_BUSY;
	if (!is_taken(word) || !are_equal(&flow->backend, &source))
		return MARTLET_PASS_NAT_ADDRESS;
	answer->nat = place;
	answer->tag = NAT_TAG(word);
	answer->way.word = *(const volatile __u64 *)&flow->last_hop;
	answer->ends = (struct ends){
		.source = flow->vip,
		.destination = flow->client,
		.source_port = flow->vip_port,
		.destination_port = flow->client_port,
		.hides_routers = 1,
		.identification = (__u16)NAT_TAG(word),
	};
	if (packet->kind == PACKET_FLOW || packet->kind == PACKET_ICMP_ERROR)
		if (flow->backend_port != source_port_of(packet) ||
		    is_udp_state(word) != is_udp_flow(packet))
			return MARTLET_PASS_NAT_ADDRESS;
	if (packet->kind == PACKET_FLOW)
		return renew_nat_word(at, word, packet, 1, flow->backend_id)
			       ? MARTLET_UNDECIDED
			       : MARTLET_DROP_NAT_BUSY;
	return *(const volatile __u64 *)at == word ? MARTLET_UNDECIDED : MARTLET_DROP_NAT_BUSY;
}

/* Of `nat`: from this address and port only backends answer. */
static __always_inline enum martlet_verdict answer_from(const struct packet *packet,
							struct answer *answer)
{
	struct martlet_nat_key key = {
		.backend = source_of(packet),
		.port = source_port_of(packet),
		.protocol = flow_protocol_of(packet),
	};
	const struct martlet_nat_return *found = bpf_map_lookup_elem(&nat_returns, &key);

	if (!found) {
		key.port = 0;
		found = bpf_map_lookup_elem(&nat_returns, &key);
	}
	if (!found)
		return MARTLET_PASS_NO_SERVICE;
	answer->ends = (struct ends){
		.source = found->vip,
		.destination = destination_of(packet),
		.source_port = found->port ? found->port : source_port_of(packet),
		.destination_port = destination_port_of(packet),
	};
	return MARTLET_UNDECIDED;
}

static __always_inline enum martlet_verdict answer_after_first(const struct packet *packet,
							       struct answer *answer)
{
	struct martlet_fragment_key key = fragment_key(packet);
	const struct martlet_fragment *first = bpf_map_lookup_elem(&fragments, &key);
	enum martlet_verdict verdict;

	if (!first || first->service || is_stale(first))
		return MARTLET_PASS_NO_SERVICE;
	if (first->nat) {
		verdict = answer_at(packet, first->nat, answer);
		/* The port may be another flow's by now. */
		return verdict || answer->tag == (__u32)first->hash ? verdict
								    : MARTLET_PASS_NAT_ADDRESS;
	}
	answer->ends = (struct ends){
		.source = first->vip,
		.destination = destination_of(packet),
	};
	return MARTLET_UNDECIDED;
}

/* Whose answer the packet is, if it is one. */
static __noinline enum martlet_verdict find_answer(const struct packet *packet,
						   struct answer *answer)
{
	__u32 zero = 0;
	const struct martlet_settings *setting = bpf_map_lookup_elem(&settings, &zero);
	struct martlet_address destination = destination_of(packet);
	const __u32 *address;

	if (!setting || packet->is_martian)
		return MARTLET_PASS_NO_SERVICE;
	if (packet->kind == PACKET_LATER_FRAGMENT)
		return answer_after_first(packet, answer);
	if (setting->flags & MARTLET_SETTING_NAT_ADDRESSES) {
		address = bpf_map_lookup_elem(&nat_addresses, &destination);
		if (address)
			return answer_at(packet,
					 *address << 16 | bpf_ntohs(destination_port_of(packet)),
					 answer);
	}
	if (setting->flags & MARTLET_SETTING_NAT_RETURNS)
		return answer_from(packet, answer);
	return MARTLET_PASS_NO_SERVICE;
}

/*
 * The way that the kernel would send the answer; MARTLET_PASS_RETURN if only the kernel can take
 * it, because it has to find out the neighbour's MAC address or has an interface of another kind.
 */
static __noinline enum martlet_verdict
ask_kernel(struct xdp_md *context, const struct packet *packet, struct answer *answer)
{
	struct bpf_fib_lookup route = {
		.family = packet->family == 4 ? SOCKET_INET : SOCKET_INET6,
		.l4_protocol = packet->protocol,
		.sport = answer->ends.source_port,
		.dport = answer->ends.destination_port,
		.tot_len = (__u16)packet->ip_bytes,
		.ifindex = context->ingress_ifindex,
	};
	const __u32 *number;
	long result;

	if (packet->family == 4) {
		route.ipv4_src = answer->ends.source.word[3];
		route.ipv4_dst = answer->ends.destination.word[3];
	} else {
		__builtin_memcpy(route.ipv6_src, &answer->ends.source, sizeof(route.ipv6_src));
		__builtin_memcpy(route.ipv6_dst, &answer->ends.destination, sizeof(route.ipv6_dst));
	}
	result = bpf_fib_lookup(context, &route, sizeof(route), 0);
	if (result == BPF_FIB_LKUP_RET_NO_NEIGH || result == BPF_FIB_LKUP_RET_UNSUPP_LWT)
		return MARTLET_PASS_RETURN;
	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		answer->mtu = route.mtu_result;
		return MARTLET_UNDECIDED;
	}
	/* For this host itself, like the answer to a health check; a NAT flow's never is. */
	if (result == BPF_FIB_LKUP_RET_NOT_FWDED && !answer->nat)
		return MARTLET_PASS_NO_SERVICE;
	if (result != BPF_FIB_LKUP_RET_SUCCESS)
		return MARTLET_PASS_NO_ROUTE;
	number = bpf_map_lookup_elem(&egress_numbers, &route.ifindex);
	if (!number)
		return MARTLET_PASS_RETURN;
	__builtin_memcpy(answer->way.parts.mac, route.dmac, ETH_ALEN);
	answer->way.parts.egress = (__u16)*number;
	return MARTLET_UNDECIDED;
}

static __noinline int remember_answer(const struct packet *packet, const struct answer *answer)
{
	struct martlet_fragment_key key = fragment_key(packet);
	struct martlet_fragment fragment = {
		.hash = answer->tag,
		.nat = answer->nat,
		.left = time_now(),
		.vip = answer->ends.source,
	};

	return (int)bpf_map_update_elem(&fragments, &key, &fragment, BPF_ANY);
}

/* Sends the answer by its way. */
static __noinline enum martlet_verdict
send_answer(struct xdp_md *context, const struct packet *packet, struct answer *answer,
	    const struct martlet_egress *egress, struct forwarding *result)
{
	if (packet->is_first_fragment)
		remember_answer(packet, answer);
	if (!translate(context, packet, &answer->ends))
		return MARTLET_DROP_TRUNCATED;
	result->interface = egress->interface;
	result->is_redirected_back = egress->flags & MARTLET_EGRESS_REDIRECT_BACK;
	answer->link = link_to(answer->way.parts.mac, egress);
	return write_routed_frame(context, packet, &answer->link, MARTLET_FORWARD_RETURN);
}

/* The kernel sends it: what it gets is what it would have sent. */
static __always_inline enum martlet_verdict
pass_answer(struct xdp_md *context, const struct packet *packet, const struct answer *answer)
{
	if (packet->is_first_fragment)
		remember_answer(packet, answer);
	return translate(context, packet, &answer->ends) ? MARTLET_PASS_RETURN
							 : MARTLET_DROP_TRUNCATED;
}

/* What becomes of a packet that is for no VIP: a flow's, an error about one or a later fragment. */
VERIFIED_ALONE enum martlet_verdict
carry_answer(struct xdp_md *context, const struct packet *packet, struct forwarding *result)
{
	__u32 zero = 0, index;
	struct answer *answer = bpf_map_lookup_elem(&answer_at_hand, &zero);
	const struct martlet_egress *egress;
	enum martlet_verdict verdict;

	if (!packet || !result || !answer)
		return MARTLET_DROP_BROKEN_TABLE;
	__builtin_memset(answer, 0, sizeof(*answer));
	verdict = find_answer(packet, answer);
	if (verdict != MARTLET_UNDECIDED)
		return verdict;
	if (packet->answers_syn)
		take_answer(&answer->ends.destination, answer->ends.destination_port);
	if (packet->ttl <= 1)
		return MARTLET_DROP_EXPIRED;
	if (!answer->way.parts.egress)
		verdict = ask_kernel(context, packet, answer);
	if (verdict == MARTLET_PASS_RETURN)
		return pass_answer(context, packet, answer);
	if (verdict != MARTLET_UNDECIDED)
		return verdict;
	if (answer->mtu)
		return reply_too_big(context, packet, answer->mtu);
	index = answer->way.parts.egress;
	egress = bpf_map_lookup_elem(&egresses, &index);
	if (!egress || egress->interface == 0)
		return MARTLET_DROP_BROKEN_TABLE;
	if (packet->ip_bytes > egress->mtu)
		return reply_too_big(context, packet, egress->mtu);
	return send_answer(context, packet, answer, egress, result);
}
