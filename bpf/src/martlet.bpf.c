// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The balancer: what happens to a packet, in the order in which it happens. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "count.h"
#include "forward.h"
#include "maps.h"
#include "martlet_abi.h"
#include "parse.h"
#include "select.h"
#include "service.h"

static __always_inline struct forwarding balance(struct xdp_md *context, struct packet *packet)
{
	struct forwarding result = { .verdict = parse(context, packet) };
	const struct martlet_service *service;
	struct selection selection;

	if (result.verdict != MARTLET_UNDECIDED)
		return result;

	service = find_service(packet);
	if (!service) {
		result.verdict = MARTLET_PASS_NO_SERVICE;
		return result;
	}
	count(&service_counters, service->id, packet->bytes);

	selection = select_backend(service, packet);
	if (selection.verdict != MARTLET_UNDECIDED) {
		result.verdict = selection.verdict;
		return result;
	}

	result = forward(context, packet, selection.backend);
	if ((int)result.verdict < MARTLET_FIRST_PASS)
		count(&backend_counters, selection.id, packet->bytes);
	return result;
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
	if (result.interface != context->ingress_ifindex || result.is_redirected_back)
		return (int)bpf_redirect(result.interface, 0);
	return XDP_TX;
}

SEC("xdp")
int martlet(struct xdp_md *context)
{
	struct packet packet = { .bytes = context->data_end - context->data };

	return finish(context, &packet, balance(context, &packet));
}

char _license[] SEC("license") = "Dual BSD/GPL";
