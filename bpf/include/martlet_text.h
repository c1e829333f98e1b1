/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The words for people, beside the numbers of martlet_abi.h. For the host's side only. */
#pragma once

#include "martlet_abi.h"

/* The name without its prefix, `DROP_NO_BACKEND`; NULL if there is no such verdict. */
const char *martlet_verdict_name(__u32 verdict);

/* What the verdict means, in words; NULL if there is no such verdict. */
const char *martlet_verdict_text(__u32 verdict);

/* The same for the verdicts of the decapsulating program. */
const char *martlet_decapsulation_name(__u32 verdict);
const char *martlet_decapsulation_text(__u32 verdict);
