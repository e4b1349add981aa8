/* Memory with a descriptor, for what processes share: never executable, close-on-exec,
 * and it can be sealed. */
#ifndef CONFIG_MEMORY_FILE_H
#define CONFIG_MEMORY_FILE_H

/* `title`, cut if need be, shows in /proc/PID/fd.  -1 with errno on failure. */
int memory_file_new(const char *title);

#endif
