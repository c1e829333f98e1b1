/* SPDX-License-Identifier: Apache-2.0 */
/* What Linux offers and Swift's Glibc module does not show. No logic beyond the call. */
#pragma once

#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/neighbour.h>

/*
 * From <linux/if.h>, <linux/if_arp.h> and <linux/socket.h>, which clash with what Glibc declares
 * or which it leaves out.
 */
enum {
	LINUX_SOL_NETLINK = 270,
	LINUX_ARPHRD_ETHER = 1,
	LINUX_IFF_UP = 1 << 0,
	LINUX_IFF_LOOPBACK = 1 << 3,
	LINUX_IFF_NOARP = 1 << 7,
	LINUX_IFF_LOWER_UP = 1 << 16,
};

/* Puts the calling thread into a network namespace of its own. Returns 0 or -errno. */
int linux_unshare_network(void);

/*
 * Puts the calling thread into the network namespace that the descriptor, opened at
 * /proc/thread-self/ns/net or the like, stands for. Returns 0 or -errno.
 */
int linux_enter_network(int descriptor);

/* Which CPUs a thread may run on, one bit for each. */
struct linux_cpus {
	unsigned long word[64];
};

/* Reads, or sets, the CPUs of the calling thread. Returns 0 or -errno. */
int linux_get_cpus(struct linux_cpus *cpus);
int linux_set_cpus(const struct linux_cpus *cpus);

/* Sends one Ethernet frame out of the interface with that index. Returns 0 or -errno. */
int linux_send_frame(unsigned int interface, const void *frame, size_t size);

/* Has a program inherit no descriptor from `first` on when it is spawned. Returns 0 or -errno. */
int linux_close_from(posix_spawn_file_actions_t *actions, int first);

/* `struct ucred` of unix(7): who is at the other end of a Unix socket. */
struct linux_peer {
	int32_t process;
	uint32_t user;
	uint32_t group;
};

/*
 * Has the file system keep `size` bytes free for what will be written behind `offset`; the file's
 * length stays. Returns 0 or -errno.
 */
int linux_reserve(int descriptor, int64_t offset, int64_t size);

/* Whether the path is on a BPF file system: 1 or 0, or -errno. */
int linux_is_bpf_file_system(const char *path);

/*
 * A word in memory that is shared with the kernel, read, written or changed at once; what was
 * written before a store is seen by who sees the store.
 */
static inline uint32_t linux_load32(const void *at)
{
	return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
}

static inline uint64_t linux_load64(const void *at)
{
	return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
}

static inline void linux_store32(void *at, uint32_t value)
{
	__atomic_store_n((uint32_t *)at, value, __ATOMIC_RELEASE);
}

static inline void linux_store64(void *at, uint64_t value)
{
	__atomic_store_n((uint64_t *)at, value, __ATOMIC_RELEASE);
}

/* Puts `desired` there if `expected` still is. Returns whether it was. */
static inline _Bool linux_exchange32(void *at, uint32_t expected, uint32_t desired)
{
	return __atomic_compare_exchange_n((uint32_t *)at, &expected, desired, 0, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static inline _Bool linux_exchange64(void *at, uint64_t expected, uint64_t desired)
{
	return __atomic_compare_exchange_n((uint64_t *)at, &expected, desired, 0, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* Adds, modulo the size of the word. */
static inline void linux_add32(void *at, uint32_t difference)
{
	__atomic_fetch_add((uint32_t *)at, difference, __ATOMIC_ACQ_REL);
}

static inline void linux_add64(void *at, uint64_t difference)
{
	__atomic_fetch_add((uint64_t *)at, difference, __ATOMIC_ACQ_REL);
}
