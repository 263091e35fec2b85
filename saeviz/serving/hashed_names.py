"""How does a static file get its name? By its contents, in module imports too."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedNames(CompressedManifestStaticFilesStorage):
    """WhiteNoise's, which follows `import … from "./other.js"` as well."""

    support_js_module_import_aggregation = True
    keep_only_hashed_files = True
