/* Ends a filesystem as a power cut does: nothing that is not on the disk yet gets there. For tests of filesystems. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int count, char **words)
{
    unsigned without_flushing_the_log = 2;
    int folder = count == 2 ? open(words[1], O_RDONLY) : -1;
    if (folder < 0 || ioctl(folder, _IOR('X', 125, unsigned), &without_flushing_the_log))
        return perror("shutting down"), 1;
    return 0;
}
