"""What an API process is made of besides its routes: built once by `create_app`, found by dependencies."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from openfeature.client import OpenFeatureClient
from starlette.requests import HTTPConnection

from api.edge.flags import flags_client
from api.edge.limits import Limiter
from api.edge.mail import Mailer, Post
from api.edge.oidc import OIDC_RETURN, Providers
from api.edge.security import AccessTokens, Passwords, RefreshTokens, Signer
from api.edge.threads import figure_threads
from api.kernel.database import Database
from api.kernel.secrets import Secrets
from contracts.settings import ApiSettings, BillingSettings, DatabaseSettings, MailSettings, WarehouseSettings
from metrics.answers import Figures
from metrics.publication import is_duckdb


@dataclass(frozen=True)
class Services:
    """The parts that requests share."""

    settings: ApiSettings
    billing: BillingSettings
    database: Database
    signer: Signer
    passwords: Passwords
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    vault: Secrets
    providers: Providers
    flags: OpenFeatureClient
    limiter: Limiter
    post: Post
    warehouse: WarehouseSettings | None
    figures: Figures | None
    figure_threads: ThreadPoolExecutor


def build_services(
    settings: ApiSettings,
    database: DatabaseSettings,
    *,
    warehouse: WarehouseSettings | None,
    mail: MailSettings | None = None,
) -> Services:
    """The parts, from settings. Opens no connection yet. Without a warehouse, metrics are unavailable."""
    vault = Secrets.of(settings)
    signer = Signer(settings.secret_key.get_secret_value())
    warehouse_url = warehouse.warehouse_url.get_secret_value() if warehouse else ""
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    connected = Database(
        database.database_url.get_secret_value(), pool_size=database.database_pool_size, redis_url=redis_url
    )
    return Services(
        settings=settings,
        billing=BillingSettings(),
        database=connected,
        signer=signer,
        passwords=Passwords(
            signer, memory_kib=settings.password_hash_memory_kib, concurrency=settings.password_hash_concurrency
        ),
        access_tokens=AccessTokens(signer, seconds=settings.access_token_seconds),
        refresh_tokens=RefreshTokens(
            signer, seconds=settings.refresh_token_seconds, grace_seconds=settings.refresh_grace_seconds
        ),
        vault=vault,
        flags=flags_client(connected),
        providers=Providers(
            settings.oidc_providers,
            vault,
            redirects=(f"{settings.public_url.rstrip('/')}{OIDC_RETURN}", *settings.oidc_redirects),
        ),
        limiter=Limiter(connected, redis_url=redis_url),
        post=Post(Mailer(mail or MailSettings())),
        warehouse=warehouse,
        figures=Figures(warehouse_url, memory_limit=warehouse.figures_memory_limit) if warehouse else None,
        figure_threads=figure_threads(in_process=not warehouse or is_duckdb(warehouse_url)),
    )


def services_of(request: HTTPConnection) -> Services:
    """The parts of the app that serves this request."""
    services: Services = request.app.state.services
    return services
