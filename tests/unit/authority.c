#include "tests/unit/authority.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <glib.h>
#include <time.h>

struct authority {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
    unsigned char serial;
};

static gnutls_x509_privkey_t new_key(void)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_privkey_init(&key);
    g_assert_cmpint(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                                 (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                    ==, 0);
    return key;
}

static gnutls_x509_crt_t new_cert(gnutls_x509_privkey_t key, const char *name, unsigned hours, unsigned char serial)
{
    gnutls_x509_crt_t cert;
    g_autofree char *dn = g_strdup_printf("CN=%s", name);
    time_t from = time(NULL) - 3600;
    gnutls_x509_crt_init(&cert);
    gnutls_x509_crt_set_version(cert, 3);
    gnutls_x509_crt_set_serial(cert, &serial, 1);
    gnutls_x509_crt_set_activation_time(cert, from);
    gnutls_x509_crt_set_expiration_time(cert, from + (hours > 0 ? (time_t)hours * 3600 : 60));
    gnutls_x509_crt_set_dn(cert, dn, NULL);
    gnutls_x509_crt_set_key(cert, key);
    return cert;
}

static void write_pem(const char *path, gnutls_datum_t *pem, int mode)
{
    g_assert_true(
        g_file_set_contents_full(path, (char *)pem->data, (gssize)pem->size, G_FILE_SET_CONTENTS_NONE, mode, NULL));
    gnutls_free(pem->data);
}

static void write_cert(const char *path, gnutls_x509_crt_t cert)
{
    gnutls_datum_t pem;
    gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem);
    write_pem(path, &pem, 0644);
}

struct authority *authority_new(const char *ca_path)
{
    struct authority *authority = g_new0(struct authority, 1);
    authority->key = new_key();
    authority->serial = 1;
    authority->cert = new_cert(authority->key, "signalbox test authority", 24, authority->serial);
    gnutls_x509_crt_set_basic_constraints(authority->cert, 1, 0);
    gnutls_x509_crt_set_key_usage(authority->cert, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    g_assert_cmpint(gnutls_x509_crt_sign2(authority->cert, authority->cert, authority->key, GNUTLS_DIG_SHA256, 0), ==,
                    0);
    write_cert(ca_path, authority->cert);
    return authority;
}

void authority_free(struct authority *authority)
{
    gnutls_x509_crt_deinit(authority->cert);
    gnutls_x509_privkey_deinit(authority->key);
    g_free(authority);
}

void authority_issue(struct authority *authority, const char *name, unsigned hours, const char *cert_path,
                     const char *key_path)
{
    static const unsigned char loopback[] = {127, 0, 0, 1};
    gnutls_x509_privkey_t key = new_key();
    gnutls_x509_crt_t cert = new_cert(key, name, hours, ++authority->serial);
    gnutls_datum_t pem;
    gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, loopback, sizeof loopback, 0);
    g_assert_cmpint(gnutls_x509_crt_sign2(cert, authority->cert, authority->key, GNUTLS_DIG_SHA256, 0), ==, 0);
    write_cert(cert_path, cert);
    gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem);
    write_pem(key_path, &pem, 0600);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
}
