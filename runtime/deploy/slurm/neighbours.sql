-- The films most like one film, by cosine, straight from the shards:
--   duckdb -c "SET VARIABLE shards = '/data/embeddings/*.parquet'; SET VARIABLE film = '%/00001.png'" -f runtime/deploy/slurm/neighbours.sql
SELECT count(*) AS films, count(embedding) AS embedded, count(error) AS failed FROM read_parquet(getvariable('shards'));

WITH query AS (
    SELECT path, embedding FROM read_parquet(getvariable('shards'))
    WHERE path LIKE getvariable('film') AND embedding IS NOT NULL LIMIT 1
)
SELECT film.path, round(list_cosine_similarity(film.embedding, query.embedding), 4) AS cosine
FROM read_parquet(getvariable('shards')) AS film, query
WHERE film.embedding IS NOT NULL AND film.path <> query.path
ORDER BY cosine DESC LIMIT 10;
