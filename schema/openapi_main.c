/* openapi: prints the description of the API; schema/openapi.yaml is what it prints. */
#include "schema/route.h"

#include <glib.h>
#include <stdio.h>

int main(void)
{
    g_autofree char *yaml = openapi_yaml();
    return fputs(yaml, stdout) == EOF || fflush(stdout) != 0;
}
