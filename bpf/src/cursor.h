/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The only way to read a packet. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct cursor {
	void *at;
	void *end;
};

static __always_inline struct cursor cursor_of(struct xdp_md *context)
{
	return (struct cursor){
		.at = (void *)(long)context->data,
		.end = (void *)(long)context->data_end,
	};
}

/*
 * Returns the next `size` bytes and steps over them, or NULL if the packet ends first.
 * `size` is a constant at every call, so that the verifier sees one comparison.
 */
static __always_inline void *take(struct cursor *cursor, __u32 size)
{
	void *header = cursor->at;

	if (header + size > cursor->end)
		return NULL;
	cursor->at = header + size;
	return header;
}
