/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

int linux_unshare_network(void)
{
	return unshare(CLONE_NEWNET) == 0 ? 0 : -errno;
}

int linux_enter_network(int descriptor)
{
	return setns(descriptor, CLONE_NEWNET) == 0 ? 0 : -errno;
}

int linux_get_cpus(struct linux_cpus *cpus)
{
	return sched_getaffinity(0, sizeof(*cpus), (cpu_set_t *)cpus) == 0 ? 0 : -errno;
}

int linux_set_cpus(const struct linux_cpus *cpus)
{
	return sched_setaffinity(0, sizeof(*cpus), (const cpu_set_t *)cpus) == 0 ? 0 : -errno;
}

int linux_send_frame(unsigned int interface, const void *frame, size_t size)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)interface };
	int result = 0;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (sendto(fd, frame, size, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		result = -errno;
	close(fd);
	return result;
}

_Static_assert(sizeof(struct linux_peer) == sizeof(struct ucred), "the kernel writes a ucred");

int linux_reserve(int descriptor, int64_t offset, int64_t size)
{
	return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, size) == 0 ? 0 : -errno;
}

int linux_is_bpf_file_system(const char *path)
{
	struct statfs status;

	if (statfs(path, &status) < 0)
		return -errno;
	return status.f_type == BPF_FS_MAGIC;
}

int linux_close_from(posix_spawn_file_actions_t *actions, int first)
{
	return -posix_spawn_file_actions_addclosefrom_np(actions, first);
}
