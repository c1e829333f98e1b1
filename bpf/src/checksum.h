/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Internet checksum, RFC 1071. */
#pragma once

#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

/* Of an IPv4 header without options: 0 if the header's own checksum is right. */
static __always_inline __sum16 ipv4_checksum(const struct iphdr *header)
{
	const __u16 *half = (const __u16 *)header;
	__u32 sum = 0;

	for (int i = 0; i < (int)sizeof(*header) / 2; i++)
		sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__sum16)~sum;
}
