import psycopg, time
from tests.imports.conftest import *
async def test_big(importer):
    n=8_000
    body="external_id,title,stage,owner_email,company,amount,source,created_at\n"+"".join(f"{i},Deal {i},{('New','Qualified','Proposal')[i%3]},Rep {i%50},Company {i%20000},{i}.50,Web,2025-01-01\n" for i in range(n))
    import api.imports.bulk as B
    await importer.run({"deals":body},create_missing=True)
    org=str(importer.account.organization_id)
    ids=[str(i) for i in range(2000)]
    with psycopg.connect(importer.database.app_url) as c:
        for analyzed in (False, True):
            if analyzed:
                with psycopg.connect(importer.database.admin_url, autocommit=True) as a: a.execute("analyze")
            c.execute("select set_config('sluice.organization_id', %s, true)",(org,))
            for name,cond in (("ANY","external_id = any(%s::text[])"),("ANYV","external_id = any(%s::varchar[])"),("IN","external_id in (select unnest(%s::text[]))"),("JOINMAT","external_id in (select * from (select distinct unnest(%s::text[])) as x)")):
              for t,w in (("deals",""),("companies","")):
                c.execute("set local plan_cache_mode=force_generic_plan")
                q=f"explain (analyze, timing off, costs on) select id from {t} where organization_id = %s and {cond} order by id for update"
                t0=time.time()
                try:
                    c.execute("set local statement_timeout='20s'")
                    with c.transaction():
                        rows=c.execute(q,(org,ids),prepare=True).fetchall()
                    print("=====",analyzed,name,t,time.time()-t0)
                    for r in rows: print(r[0][:170])
                except Exception as e: print("=====",analyzed,name,t,"ERR",e)
            c.rollback()
