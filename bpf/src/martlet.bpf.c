// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The balancer: what happens to a packet, in the order in which it happens;
 * docs/life-of-a-packet.md says the same in words.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "choose.h"
#include "count.h"
#include "forward.h"
#include "fragments.h"
#include "icmp.h"
#include "maps.h"
#include "martlet_abi.h"
#include "nat.h"
#include "parse.h"
#include "returns.h"
#include "select.h"
#include "service.h"
#include "timing.h"

/* Which service a flow is for that none has the exact address and port of. */
static __noinline const struct martlet_service *search_service(const struct packet *packet,
							       __u32 *verdict)
{
	const struct martlet_vip *vip = find_vip(packet);
	const struct martlet_service *service;

	*verdict = MARTLET_PASS_NO_SERVICE;
	if (!vip)
		return NULL;
	service = find_service_of(vip, packet);
	if (packet->kind == PACKET_ICMP_ERROR)
		*verdict = MARTLET_PASS_ICMP;
	else if (vip->flags & MARTLET_VIP_DROPS_OTHERS)
		*verdict = MARTLET_DROP_VIP_PORT;
	else
		*verdict = MARTLET_PASS_VIP_PORT;
	return service;
}

/* A backend for a new flow, which is remembered where that is needed. */
static __always_inline enum martlet_verdict begin_flow(struct xdp_md *context,
						       const struct martlet_service *service,
						       const struct packet *packet,
						       struct choice *choice, __u64 slot_hash)
{
	__u32 fallback = choice->backend;
	enum martlet_verdict verdict = choose_backend(service, choice, slot_hash);

	if (verdict != MARTLET_UNDECIDED)
		return verdict;
	if (service->flags & MARTLET_SERVICE_FULL_NAT)
		return open_nat_flow(context, packet, choice);
	return record_flow(service, packet, choice, slot_hash, fallback);
}

/* The backend of a flow, or of the flow that an ICMP error is about. */
static __always_inline enum martlet_verdict
choose_for_flow(struct xdp_md *context, const struct packet *packet, struct choice *choice)
{
	const struct martlet_service *found = find_service(packet);
	const struct martlet_settings *setting;
	struct martlet_service service;
	__u32 zero = 0, no_service;
	enum martlet_verdict verdict;
	__u64 slot_hash;

	if (!found) {
		if (!may_be_vip(packet))
			return MARTLET_PASS_NO_SERVICE;
		found = search_service(packet, &no_service);
		if (!found)
			return no_service;
	}
	service = read_service(found);
	count_traffic(&service_counters, service.id, packet->bytes, packet->is_new_flow);
	if (packet->is_martian)
		return MARTLET_DROP_MARTIAN;
	if (service.flags & MARTLET_SERVICE_HAS_ACCESS_LIST && !is_allowed(service, packet))
		return MARTLET_DROP_SOURCE_DENIED;
	setting = bpf_map_lookup_elem(&settings, &zero);
	if (!setting)
		return MARTLET_DROP_BROKEN_TABLE;
	choice->service = service.id;
	choice->hash = hash_flow(packet, setting->hash_key);
	slot_hash = service.flags & MARTLET_SERVICE_CLIENT_AFFINITY
			    ? hash_client(packet, setting->hash_key)
			    : choice->hash;
	verdict = service.flags & MARTLET_SERVICE_FULL_NAT
			  ? find_nat_backend(context, &service, packet, choice)
			  : choose_slot(&service, packet, choice, slot_hash);
	if (verdict == FLOW_BEGINS)
		verdict = begin_flow(context, &service, packet, choice, slot_hash);
	if (service.flags & MARTLET_SERVICE_TIMES_ANSWERS && packet->is_new_flow &&
	    verdict == MARTLET_UNDECIDED)
		note_question(packet, choice->backend);
	return verdict;
}

static __always_inline enum martlet_verdict choose(struct xdp_md *context, struct packet *packet,
						   struct choice *choice)
{
	enum martlet_verdict verdict;

	if (packet->problem)
		return if_for_vip(packet, packet->problem);
	if (packet->kind == PACKET_LATER_FRAGMENT)
		return follow_first_fragment(packet, choice);
	if (packet->kind == PACKET_ICMP) {
		verdict = look_into_icmp(context, packet);
		if (verdict != MARTLET_UNDECIDED)
			return verdict;
	}
	if (packet->kind == PACKET_FLOW || packet->kind == PACKET_ICMP_ERROR)
		return choose_for_flow(context, packet, choice);
	return if_for_vip(packet,
			  packet->protocol == IPPROTO_IPIP || packet->protocol == IPPROTO_IPV6
				  ? MARTLET_DROP_TUNNEL
				  : MARTLET_PASS_VIP_PROTOCOL);
}

/* Whether a backend may have sent it, although it is for no VIP: where there is no NAT none has. */
static __always_inline int may_be_answer(const struct packet *packet)
{
	__u32 zero = 0;
	const struct martlet_settings *setting = bpf_map_lookup_elem(&settings, &zero);

	return setting &&
	       setting->flags & (MARTLET_SETTING_NAT_RETURNS | MARTLET_SETTING_NAT_ADDRESSES) &&
	       (packet->kind == PACKET_FLOW || packet->kind == PACKET_ICMP_ERROR ||
		packet->kind == PACKET_LATER_FRAGMENT);
}

/* In a variable of its own, so that what is forwarded to a backend is not kept in memory. */
static __always_inline struct forwarding answer(struct xdp_md *context, struct packet *packet)
{
	struct forwarding result = {};

	result.verdict = carry_answer(context, packet, &result);
	return result;
}

static __always_inline struct forwarding balance(struct xdp_md *context, struct packet *packet)
{
	struct forwarding result = {.verdict = parse(context, packet)};
	const struct martlet_backend *backend;
	struct choice choice = {};

	if (result.verdict != MARTLET_UNDECIDED)
		return result;
	result.verdict = choose(context, packet, &choice);
	if (result.verdict == MARTLET_PASS_NO_SERVICE && may_be_answer(packet))
		return answer(context, packet);
	if (result.verdict != MARTLET_UNDECIDED)
		return result;

	backend = bpf_map_lookup_elem(&backends, &choice.backend);
	if (!backend || backend->service != choice.service) {
		/* A first fragment's backend may have gone since; a slot's may not. */
		result.verdict = packet->kind == PACKET_LATER_FRAGMENT ? MARTLET_DROP_FRAGMENT
								       : MARTLET_DROP_BROKEN_TABLE;
		return result;
	}
	if (packet->is_first_fragment)
		remember_fragment(packet, &choice);
	if (packet->kind == PACKET_LATER_FRAGMENT)
		count_traffic(&service_counters, choice.service, packet->bytes, 0);
	result = forward(context, packet, backend, &choice);
	if ((int)result.verdict < MARTLET_FIRST_REPLY)
		count_traffic(&backend_counters, choice.backend, packet->bytes,
			      packet->is_new_flow);
	return result;
}

/* The kernel's word for an answer, which leaves by the interface that the question came in by. */
static __always_inline int reply_action(const struct xdp_md *context)
{
	__u32 zero = 0;
	const struct martlet_settings *setting = bpf_map_lookup_elem(&settings, &zero);

	if (setting && setting->flags & MARTLET_SETTING_REDIRECT_REPLIES)
		return (int)bpf_redirect(context->ingress_ifindex, 0);
	return XDP_TX;
}

/* Every packet leaves through here: that is why the verdict counters sum to packets received. */
static __always_inline int finish(struct xdp_md *context, const struct packet *packet,
				  struct forwarding result)
{
	count(&verdict_counters, result.verdict, packet->bytes);
	if ((int)result.verdict >= MARTLET_FIRST_DROP)
		return XDP_DROP;
	if ((int)result.verdict >= MARTLET_FIRST_PASS)
		return XDP_PASS;
	if ((int)result.verdict >= MARTLET_FIRST_REPLY)
		return reply_action(context);
	if (result.interface != context->ingress_ifindex || result.is_redirected_back)
		return (int)bpf_redirect(result.interface, 0);
	return XDP_TX;
}

SEC("xdp")
int martlet(struct xdp_md *context)
{
	struct packet packet = {.bytes = context->data_end - context->data};

	return finish(context, &packet, balance(context, &packet));
}

char _license[] SEC("license") = "Dual BSD/GPL";
