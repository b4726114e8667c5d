#include "cli/libraries.h"

#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <libfyaml.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <microhttpd.h>
#include <nats/nats.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <zlib.h>

#include "conf/option.h"

/* 150020 is 15.20 since PostgreSQL 10. */
static const char *libpq_text(void)
{
    static char text[16];
    int version = PQlibVersion();
    (void)snprintf(text, sizeof(text), "%d.%d", version / 10000, version % 10000);
    return text;
}

/* The library does not say what it is: that of its header. */
static const char *hiredis_text(void)
{
    static char text[16];
    (void)snprintf(text, sizeof(text), "%d.%d.%d", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return text;
}

const struct api_version *libraries_versions(size_t *ret_count)
{
    static struct api_version versions[12];
    versions[0] = (struct api_version){"pgfan", PGFAN_VERSION};
    versions[1] = (struct api_version){"libpq", libpq_text()};
    versions[2] = (struct api_version){"sqlite", sqlite3_libversion()};
    versions[3] = (struct api_version){"libfyaml", fy_library_version()};
    versions[4] = (struct api_version){"libmicrohttpd", MHD_get_version()};
    versions[5] = (struct api_version){"jansson", jansson_version_str()};
    versions[6] = (struct api_version){"libcurl", curl_version_info(CURLVERSION_NOW)->version};
    versions[7] = (struct api_version){"librdkafka", rd_kafka_version_str()};
    versions[8] = (struct api_version){"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)};
    versions[9] = (struct api_version){"zlib", zlibVersion()};
    versions[10] = (struct api_version){"hiredis", hiredis_text()};
    versions[11] = (struct api_version){"libnats", nats_GetVersion()};
    *ret_count = CONF_COUNT(versions);
    return versions;
}
