/*
 * Why what some people would like to negotiate is refused: words that name what is not
 * forward-secret, broken or too costly.  NULL where no reason is known.
 */
#ifndef CONFIG_REFUSAL_H
#define CONFIG_REFUSAL_H

const char *refusal_of_version(const char *word);
const char *refusal_of_suite(const char *word);
const char *refusal_of_group(const char *word);

#endif
