/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Internet checksum, RFC 1071, and its update, RFC 1624. */
#pragma once

#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Folds the carries of a sum back into 16 bits; twice, for the first may bring a new one. */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* Of an IPv4 header without options: 0 if the header's own checksum is right. */
static __always_inline __sum16 ipv4_checksum(const struct iphdr *header)
{
	const __u16 *half = (const __u16 *)header;
	__u32 sum = 0;

	for (int i = 0; i < (int)sizeof(*header) / 2; i++)
		sum += half[i];
	return (__sum16)~fold(sum);
}

/* The checksum after one 16-bit word has changed: RFC 1624 §3, equation 3. */
static __always_inline __sum16 updated_checksum(__sum16 checksum, __be16 before, __be16 after)
{
	return (__sum16)~fold((__u16)~checksum + (__u16)~before + after);
}

/* As the kernel counts a hop: the word of TTL and protocol has become smaller by 0x0100. */
static __always_inline void decrement_ttl(struct iphdr *ip)
{
	__u32 sum = (__u32)ip->check + bpf_htons(0x0100);

	ip->check = (__sum16)(sum + (sum >= 0xffff));
	ip->ttl--;
}

/*
 * What a change of 32 bits does to a checksum over them: changes are added up and applied as one
 * (RFC 1624 §3, equation 3).
 */
static __always_inline __u64 change_of(__be32 before, __be32 after)
{
	return (__u64)(__u32)~before + after;
}

static __always_inline __sum16 changed_checksum(__sum16 checksum, __u64 changes)
{
	__u64 sum = (__u16)~checksum + changes;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	return (__sum16)~fold((__u32)sum);
}
