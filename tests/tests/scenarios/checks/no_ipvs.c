/* For a keepalived on a kernel without ip_vs: its calls to it succeed and do nothing, so that its health checks run as ever.
 * The numbers are those of <linux/ip_vs.h>: IP_VS_BASE_CTL and the request for the version. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { FIRST = 64 + 1024 + 64, LAST = FIRST + 63, INFO = FIRST + 1, VERSION = 0x010201 };

static int is_ipvs(int level, int option)
{
	return level == IPPROTO_IP && option >= FIRST && option <= LAST;
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	int (*real)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
	int version = VERSION;

	if (!is_ipvs(level, option))
		return real(fd, level, option, value, length);
	memset(value, 0, *length);
	if (option == INFO && *length >= sizeof version)
		memcpy(value, &version, sizeof version);
	return 0;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");

	return is_ipvs(level, option) ? 0 : real(fd, level, option, value, length);
}
