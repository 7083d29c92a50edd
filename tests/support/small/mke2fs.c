/* Stands in for mke2fs in the tools root of the small archive: a superblock that says what the real one would, and the
 * stream of files behind it as it came. Nothing boots from it; what is tested is the builder around it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char block[512];

static int fill(void)
{
    return fread(block, 1, sizeof block, stdin) == sizeof block;
}

static void put32(unsigned char *to, uint64_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = value >> (8 * i);
}

int main(int count, char **words)
{
    const char *uuid = "", *label = "", *file = 0;
    uint64_t inodes = 0, blocks = 0, used = 0;
    int lost_found = 1;
    for (int i = 1; i < count; i++) {
        if (!strcmp(words[i], "-U")) uuid = words[++i];
        else if (!strcmp(words[i], "-L")) label = words[++i];
        else if (!strcmp(words[i], "-N")) inodes = strtoull(words[++i], 0, 10);
        else if (words[i][0] == '-' && strchr("tbImOEd", words[i][1])) i++;
        else if (words[i][0] != '-' && !file) file = words[i];
        else if (words[i][0] != '-') blocks = strtoull(words[i], 0, 10);
    }
    FILE *out = fopen(file, "r+b");
    if (!out) return perror(file), 1;
    fseek(out, 65536, SEEK_SET);
    while (fill()) {
        if (!block[0]) continue;
        if (strchr("023456", block[156])) used++;
        if (!strcmp((char *)block, "lost+found/")) lost_found = 0;
        uint64_t rest = strtoull((char *)block + 124, 0, 8);
        if (fwrite(block, 1, sizeof block, out) != sizeof block) return perror(file), 1;
        for (rest = (rest + 511) / 512; rest; rest--) {
            if (!fill()) return fputs("the stream ended early\n", stderr), 1;
            if (fwrite(block, 1, sizeof block, out) != sizeof block) return perror(file), 1;
        }
    }
    /* Of the root's entry nothing new comes to be; lost+found does. */
    used = used - 1 + 10 + lost_found;
    unsigned char super[1024] = {0};
    put32(super, inodes);
    put32(super + 4, blocks);
    put32(super + 12, blocks / 2);
    put32(super + 16, inodes - used);
    put32(super + 24, 2);
    super[0x38] = 0x53, super[0x39] = 0xef, super[0x3a] = 1;
    for (int i = 0; *uuid && i < 16; uuid++) {
        unsigned byte;
        if (*uuid == '-') continue;
        sscanf(uuid++, "%2x", &byte);
        super[0x68 + i++] = byte;
    }
    strncpy((char *)super + 0x78, label, 16);
    fseek(out, 1024, SEEK_SET);
    if (fwrite(super, 1, sizeof super, out) != sizeof super || fclose(out)) return perror(file), 1;
    return 0;
}
