/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For the verifier's sake. */
#pragma once

/*
 * A function that the verifier looks at once, by itself, and not anew in every state in which it
 * is called: without some of these the older kernels give up at a million instructions. It must
 * not be static, its pointers may be NULL for all that the verifier knows, and what they point to
 * is no key for a look-up before Linux 6.2.
 */
#define VERIFIED_ALONE __attribute__((noinline))
