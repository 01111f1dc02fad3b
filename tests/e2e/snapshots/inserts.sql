-- INSERT.
INSERT INTO salesforce.contact (first_name, last_name) VALUES ('Ada', 'Lovelace');
--> Insert on salesforce.contact
-->   Remote Write: insert Contact, batch size 200
-->   ->  Result
-->         Output: NULL::text, NULL::boolean, NULL::text, 'Lovelace'::text, 'Ada'::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL…
--= (1 row)
INSERT INTO salesforce.contact (first_name, last_name) VALUES ('Ada', 'Lovelace') RETURNING id, name;
--> Insert on salesforce.contact
-->   Output: contact.id, contact.name
-->   Remote Write: insert Contact, batch size 200
-->   ->  Result
-->         Output: NULL::text, NULL::boolean, NULL::text, 'Lovelace'::text, 'Ada'::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL…
--= 003RO000000EZffYAG | Ada Lovelace
--= (1 row)
INSERT INTO salesforce.contact (last_name, title) SELECT 'new', n::text FROM generate_series(1, 250) AS n;
--> Insert on salesforce.contact
-->   Remote Write: insert Contact, batch size 200
-->   ->  Function Scan on pg_catalog.generate_series n
-->         Output: NULL::text, NULL::boolean, NULL::text, 'new'::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text…
-->         Function Call: generate_series(1, 250)
--= (250 rows)
INSERT INTO salesforce.contact (last_name) VALUES ('x') ON CONFLICT DO NOTHING;
--> Insert on salesforce.contact
-->   Remote Write: insert Contact, batch size 200
-->   Conflict Resolution: NOTHING
-->   ->  Result
-->         Output: NULL::text, NULL::boolean, NULL::text, 'x'::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, …
--= (1 row)
INSERT INTO salesforce.contact (first_name) VALUES ('nobody');
--> Insert on salesforce.contact
-->   Remote Write: insert Contact, batch size 200
-->   ->  Result
-->         Output: NULL::text, NULL::boolean, NULL::text, NULL::text, 'nobody'::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::t…
--= ERROR 23502: a required field is empty: Required fields are missing: [LastName]
INSERT INTO salesforce.contact (last_name, name) VALUES ('x', 'y');
--> Insert on salesforce.contact
-->   Remote Write: insert Contact, batch size 200
-->   ->  Result
-->         Output: NULL::text, NULL::boolean, NULL::text, 'x'::text, NULL::text, NULL::text, 'y'::text, NULL::text, NULL::text, NULL::text, NULL::text, N…
--= ERROR 428C9: the field Name cannot be written
SELECT last_name, count(*) FROM salesforce.contact WHERE last_name IN ('new', 'Lovelace') GROUP BY 1;
--> GroupAggregate
-->   Output: last_name, count(*)
-->   Group Key: contact.last_name
-->   ->  Sort
-->         Output: last_name
-->         Sort Key: contact.last_name
-->         ->  Foreign Scan on salesforce.contact
-->               Output: last_name
-->               Filter: (contact.last_name = ANY ('{new,Lovelace}'::text[]))
-->               Remote Query: SELECT LastName FROM Contact WHERE LastName IN ('new','Lovelace')
--= Lovelace | 9
--= new | 250
--= (2 rows)
