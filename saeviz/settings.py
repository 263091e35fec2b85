"""Settings: every one has a default that runs; the environment variables are listed in the README."""

import os
from pathlib import Path

from . import database, env, secret
from .doors import policy
from .observability import logs
from .running import hosts, paths

env.check()  # all of them at once: whoever has two wrong reads of both

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = paths.data_dir()  # from the environment, or data/ in the checkout
paths.close_to_others(DATA_DIR)
paths.keep_caches(DATA_DIR)

DEBUG = env.switch("DEBUG")
SECRET_KEY = os.environ.get("SECRET_KEY") or secret.key(DATA_DIR / "secret_key")
ALLOWED_HOSTS = hosts.allowed()
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
SAEVIZ_BEHIND_TLS = env.switch("SAEVIZ_BEHIND_TLS")  # a proxy in front speaks HTTPS and sets X-Forwarded-*
SAEVIZ_METRICS_TOKEN = os.environ.get("SAEVIZ_METRICS_TOKEN", "").strip()  # opens /metrics to other machines

LOGGING = logs.configuration()

INSTALLED_APPS = [
    "saeviz",  # its commands
    "features",
    "prompts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
]
MIDDLEWARE = [
    "saeviz.doors.prefix.PrefixMiddleware",
    "saeviz.observability.tracing.TracingMiddleware",
    "saeviz.doors.proxy.ProxyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",  # what comes next says nothing of thirty scripts and styles
    "django.middleware.security.SecurityMiddleware",
    "saeviz.doors.page_policy.PagePolicyMiddleware",
    "saeviz.doors.compression.CompressionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "saeviz.observability.panics.PanicMiddleware",
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
CONTENT_SECURITY_POLICY = None if DEBUG else policy.CONTENT_SECURITY_POLICY  # Django's pages for DEBUG stand in the way
CSRF_FAILURE_VIEW = "saeviz.doors.refusals.csrf_failure"
globals().update(policy.LOG_IN, **(policy.BEHIND_TLS if SAEVIZ_BEHIND_TLS else {}))
ROOT_URLCONF = "saeviz.urls"
WSGI_APPLICATION = "saeviz.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database.configuration(os.environ.get("DATABASE_URL", ""), DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

FORCE_SCRIPT_NAME = env.prefix() or None
STATIC_URL = f"{env.prefix()}/static/"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{env.prefix()}/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# What `saeviz.serving` has made of them at its start: under hashed names, kept by browsers for good. Elsewhere (tests,
# runserver, DEBUG) the files are served where they lie; nothing is to be collected.
STATIC_ROOT = None if DEBUG else os.environ.get("SAEVIZ_STATIC_ROOT")
WHITENOISE_USE_FINDERS = not STATIC_ROOT
WHITENOISE_ALLOW_ALL_ORIGINS = False  # no other site needs them
WHITENOISE_ADD_HEADERS_FUNCTION = policy.not_guessed
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "saeviz.serving.hashed_names.HashedNames"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = os.environ.get("TZ_NAME", "UTC")

REDIS_URL = os.environ.get("REDIS_URL") or paths.redis_url(DATA_DIR)  # the one `make run` starts
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True  # the Job row is the result
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False  # the watch over silent jobs decides, and counts attempts
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

# What the site reads and computes with.
SAEVIZ_DEVICE = os.environ.get("SAEVIZ_DEVICE", "auto")  # auto, cpu, cuda, cuda:1 ...
SAEVIZ_SCREEN = env.choice("SAEVIZ_SCREEN")  # of the encoder: auto (measured), int8, bfloat16, on, off
SAEVIZ_TOKENS = env.number("SAEVIZ_TOKENS")  # tokens counted unless a job says otherwise
SAEVIZ_QUICK_TOKENS = env.number("SAEVIZ_QUICK_TOKENS")  # that quick results are of, where twice as many are counted
SAEVIZ_RUN_TOKENS = env.number("SAEVIZ_RUN_TOKENS")  # that each checkpoint of a run is read on
SAEVIZ_RUN_KEPT = env.number("SAEVIZ_RUN_KEPT")  # bytes of activations on such rows that stay for later checkpoints
SAEVIZ_PROMPT_TOKENS = env.number("SAEVIZ_PROMPT_TOKENS")  # and never beyond the model's context
SAEVIZ_PROMPT_BYTES = env.number("SAEVIZ_PROMPT_BYTES")  # refused unread above this
SAEVIZ_PROMPTS = env.choice("SAEVIZ_PROMPTS")  # who may ask the model: everyone, or users, who have logged in
# Questions to the model, and patterns that are looked for, a minute from the address of a stranger; 0: any number.
SAEVIZ_PROMPT_RATE = env.number("SAEVIZ_PROMPT_RATE")
SAEVIZ_ASK_RATE = env.number("SAEVIZ_ASK_RATE")
SAEVIZ_LOADED_SUBJECTS = env.number("SAEVIZ_LOADED_SUBJECTS")  # models + SAEs kept in memory
# Where staff may choose SAEs and models from in a browser, and how large an SAE may be: no more than the memory.
SAEVIZ_FOLDERS = os.environ.get("SAEVIZ_FOLDERS", str(DATA_DIR / "checkpoints")).split(os.pathsep)
SAEVIZ_MAX_BYTES = env.number("SAEVIZ_MAX_BYTES")  # of float32 weights
SAEVIZ_FILE_MEMORY = env.number("SAEVIZ_FILE_MEMORY")  # bytes that a file of others may take to be opened, beside its
SAEVIZ_FILE_SECONDS = env.number("SAEVIZ_FILE_SECONDS")  # own size several times over; and seconds without a sign
SAEVIZ_MAX_UPLOAD = env.number("SAEVIZ_MAX_UPLOAD")  # bytes that a browser may send at once; 0: none
SAEVIZ_COMMON_DIRECTION = env.share("SAEVIZ_COMMON_DIRECTION")  # of encoder columns; pages warn above it
SAEVIZ_WEBHOOK = os.environ.get("SAEVIZ_WEBHOOK", "")  # address that hears of warnings about checkpoints
# Labels by a language model: an address like http://127.0.0.1:11434/v1, the model's name there, a key that only this
# address gets, hosts that staff may enter beside it (none named: any), and seconds that one answer may take.
SAEVIZ_LLM = os.environ.get("SAEVIZ_LLM", "").strip()
SAEVIZ_LLM_MODEL = os.environ.get("SAEVIZ_LLM_MODEL", "").strip()
SAEVIZ_LLM_HOSTS = os.environ.get("SAEVIZ_LLM_HOSTS", "").replace(",", " ").lower().split()
SAEVIZ_LLM_SECONDS = env.number("SAEVIZ_LLM_SECONDS")
SAEVIZ_NICE = env.number("SAEVIZ_NICE")  # niceness of workers: 19 beside a training that comes first
SAEVIZ_MEMORY = env.number("SAEVIZ_MEMORY")  # bytes that a worker may take for what it computes; 0: any number
SAEVIZ_SILENT_AFTER = env.number("SAEVIZ_SILENT_AFTER")  # seconds until a worker counts as gone
SAEVIZ_ATTEMPTS = env.number("SAEVIZ_ATTEMPTS")  # times a job is picked up again
# Whether labels may be kept without signing in, by one local reader: "auto", where only this machine is answered.
_labels = env.choice("SAEVIZ_LABELS")
SAEVIZ_LOCAL_READER = _labels == "everyone" or _labels == "auto" and hosts.only_here()
SAEVIZ_ONLY_HERE = hosts.only_here()  # one person uses the site, who may have done what spends their own money
# Files that the parts of a job leave for each other, and whether workers find them there or in the database.
SAEVIZ_SHARDS = Path(os.environ.get("SAEVIZ_SHARDS") or DATA_DIR / "shards")
SAEVIZ_SHARE = env.choice("SAEVIZ_SHARE")  # folder: one machine, or a folder that all see; database
# Active entries that stay after a computation, to be asked; up to how many bytes a set of them may take (0: none stay).
SAEVIZ_KEPT = Path(os.environ.get("SAEVIZ_KEPT") or DATA_DIR / "activations")
SAEVIZ_KEPT_BYTES = env.number("SAEVIZ_KEPT_BYTES")
