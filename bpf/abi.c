/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The host's compiler checks the assertions here too, and holds the verdicts' words. */
#include "martlet_abi.h"
#include "martlet_text.h"

#include <stddef.h>

struct words {
	const char *name;
	const char *text;
};

#define WORDS(name, text) [MARTLET_##name] = { #name, text },

static const struct words verdicts[MARTLET_VERDICT_COUNT] = {
	MARTLET_FORWARDS(WORDS) MARTLET_REPLIES(WORDS) MARTLET_PASSES(WORDS) MARTLET_DROPS(WORDS)
};

static const struct words decapsulations[MARTLET_DECAPSULATION_COUNT] = {
	MARTLET_DECAPSULATIONS(WORDS) MARTLET_DECAPSULATION_DROPS(WORDS)
};

const char *martlet_verdict_name(__u32 verdict)
{
	return verdict < MARTLET_VERDICT_COUNT ? verdicts[verdict].name : NULL;
}

const char *martlet_verdict_text(__u32 verdict)
{
	return verdict < MARTLET_VERDICT_COUNT ? verdicts[verdict].text : NULL;
}

const char *martlet_decapsulation_name(__u32 verdict)
{
	return verdict < MARTLET_DECAPSULATION_COUNT ? decapsulations[verdict].name : NULL;
}

const char *martlet_decapsulation_text(__u32 verdict)
{
	return verdict < MARTLET_DECAPSULATION_COUNT ? decapsulations[verdict].text : NULL;
}
