"""How does a static file get its name? By its contents, in module imports too; and scripts lose their comments."""

import rjsmin
from django.core.files.base import ContentFile
from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedNames(CompressedManifestStaticFilesStorage):
    """WhiteNoise's, which follows `import … from "./other.js"` as well; the house's scripts without comments."""

    support_js_module_import_aggregation = True
    keep_only_hashed_files = True

    def _save(self, name, content):
        if name.endswith(".js") and not name.startswith("admin/js/"):  # Django's are minified where that is worth it
            content = ContentFile(rjsmin.jsmin(b"".join(content.chunks()).decode()).encode())
        return super()._save(name, content)
