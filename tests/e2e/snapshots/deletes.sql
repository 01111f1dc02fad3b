-- DELETE.
DELETE FROM salesforce.contact WHERE account_id = '001RO000000EZaiYAG';
--> Delete on salesforce.contact
-->   ->  Foreign Delete on salesforce.contact
-->         Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
-->         Remote Write: delete Contact, batch size 200
--= (24 rows)
DELETE FROM salesforce.contact WHERE last_name = 'Smith';
--> Delete on salesforce.contact
-->   Remote Write: delete Contact, batch size 200
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id
-->         Filter: (contact.last_name = 'Smith'::text)
-->         Remote Query: SELECT Id, LastName FROM Contact WHERE LastName = 'Smith'
--= (9 rows)
DELETE FROM salesforce.contact WHERE account_id = '001RO000000EZajYAG' RETURNING id;
--> Delete on salesforce.contact
-->   Output: id
-->   Remote Write: delete Contact, batch size 200
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, contact.*
-->         Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZajYAG'
--= 003RO000000EZb9YAG
--= 003RO000000EZbtYAG
--= 003RO000000EZdsYAG
--= 003RO000000EZeHYAW
--= 003RO000000EZehYAG
--= (8 rows)
DELETE FROM salesforce.contact AS c USING salesforce.account AS a WHERE a.id = c.account_id AND a.industry = 'Retail';
--> Delete on salesforce.contact c
-->   Remote Write: delete Contact, batch size 200
-->   ->  Nested Loop
-->         Output: c.id, a.*
-->         ->  Foreign Scan on salesforce.account a
-->               Output: a.*, a.id
-->               Filter: (a.industry = 'Retail'::text)
-->               Remote Query: SELECT Id, Industry FROM Account WHERE Industry = 'Retail'
-->         ->  Foreign Scan on salesforce.contact c
-->               Output: c.id, c.is_deleted, c.account_id, c.last_name, c.first_name, c.salutation, c.name, c.mailing_street, c.mailing_city, c.mailing_s…
-->               Remote Query: SELECT Id, AccountId FROM Contact WHERE AccountId = $1
--= (17 rows)
WITH gone AS (DELETE FROM salesforce.contact WHERE do_not_call RETURNING id) SELECT count(*) FROM gone;
--> Aggregate
-->   Output: count(*)
-->   CTE gone
-->     ->  Delete on salesforce.contact
-->           Output: contact.id
-->           Remote Write: delete Contact, batch size 200
-->           ->  Foreign Scan on salesforce.contact
-->                 Output: contact.id, contact.*
-->                 Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
-->   ->  CTE Scan on gone
-->         Output: gone.id
--= 18
--= (1 row)
DELETE FROM salesforce.contact WHERE id = 'nonsense';
--> Delete on salesforce.contact
-->   ->  Foreign Delete on salesforce.contact
-->         Remote Query: nothing: no record can match
-->         Remote Write: delete Contact, batch size 200
--= (0 rows)
SELECT count(*) FROM salesforce.contact;
--> Foreign Scan
-->   Output: (count(*))
-->   Remote Query: SELECT COUNT(Id) agg0 FROM Contact
--= 224
--= (1 row)
